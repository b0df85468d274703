"""How pip is configured on this machine, handed to a build without leaving a trace in the image.

A build's pip has to reach packages the way this machine does: its index, its certificates, its folders of wheels.
The settings go into a file that is mounted for the build only, since they may hold credentials and are nobody else's
business.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from dev.cluster.commands import run

_CERTIFICATES = Path("/etc/ssl/certs")
_KEPT = (
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "trusted-host",
    "cert",
    "timeout",
    "default-timeout",
    "retries",
    "proxy",
)


def mounts(folder: Path) -> list[str]:
    """Write a pip.conf to `folder`, and give what to mount for it: `SOURCE:TARGET:ro`, for `buildah build --volume`."""
    settings = parse(run([sys.executable, "-m", "pip", "config", "list"]))
    file = folder / "pip.conf"
    file.touch(mode=0o600)
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    paths = [Path(word) for name in ("cert", "find-links") for word in settings.get(name, "").split()]
    wanted = [_CERTIFICATES, *(path for path in paths if path.is_absolute() and not path.is_relative_to(_CERTIFICATES))]
    return [f"{file}:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in wanted if path.exists())]


def parse(listing: str) -> dict[str, str]:
    """Read `pip config list`: lines such as global.cert='/etc/...'. The environment's, which pip lists last but
    prefers, win."""
    found: dict[str, str] = {}
    for line in sorted(listing.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option in _KEPT:
            found[option] = " ".join(str(ast.literal_eval(value)).split())
    return found
