"""What goes into a target of a Dockerfile: the paths that it and the stages it is made of copy from the checkout.

Only these decide whether an image has to be built again, so a change of the example does not roll the operator out
anew.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field

from dev.cluster.errors import ClusterError


@dataclass
class _Stage:
    parents: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)


def inputs(text: str, target: str) -> tuple[str, ...]:
    """The paths, relative to the Dockerfile's folder, that the image `target` is made from. Raises ClusterError for
    an unknown target."""
    stages = _stages(text)
    if target not in stages:
        raise ClusterError(f"the Dockerfile has no target {target!r}: it has {', '.join(sorted(stages))}")
    paths: set[str] = set()
    seen: set[str] = set()
    waiting = [target]
    while waiting:
        name = waiting.pop()
        if name in stages and name not in seen:  # any other name is an image
            seen.add(name)
            paths |= stages[name].paths
            waiting.extend(stages[name].parents)
    return tuple(sorted(paths))


def _stages(text: str) -> dict[str, _Stage]:
    """The stages by their names, or their numbers."""
    stages: dict[str, _Stage] = {}
    current = _Stage()
    for instruction, rest in _instructions(text):
        if instruction == "FROM":
            words = [word for word in rest.split() if not word.startswith("--")]
            current = _Stage(parents={words[0]})
            stages[words[2] if len(words) > 2 else str(len(stages))] = current
        elif instruction in ("COPY", "ADD"):
            flags = re.findall(r"--(\S+)", rest)
            origin = next((flag.removeprefix("from=") for flag in flags if flag.startswith("from=")), None)
            if origin is not None:
                current.parents.add(origin)
            else:
                plain = re.sub(r"--\S+\s+", "", rest).strip()
                words = json.loads(plain) if plain.startswith("[") else shlex.split(plain)
                current.paths.update(words[:-1])
        elif instruction == "RUN":
            for mount in re.findall(r"--mount=(\S+)", rest):
                options = dict(option.partition("=")[::2] for option in mount.split(","))
                if "from" in options:
                    current.parents.add(options["from"])
                elif options.get("type", "bind") == "bind":
                    current.paths.add(options.get("source") or options.get("src") or ".")
    return stages


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\s*\n", " ", "\n".join(lines))
    pairs = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [(word.upper(), rest.strip()) for word, _, rest in pairs]
