# ruff: noqa: INP001 - a script beside what it writes, in no package
"""Writes what Argo CD is told of sluice, from the Lua scripts in health/ and actions/ and the states in cases.py:

    argocd-cm.yaml              the customizations as a patch of Argo CD's own ConfigMap
    resource_customizations/    the same as a folder of Argo CD's repository, with its tests
    docs/gitops.md              the tables of health and of actions

`python argocd/generate.py` writes, `python argocd/generate.py --check` writes nothing and fails when a file is stale.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from cases import COMMON, KINDS, Case, Object, canary, cases, made, run

from sluice.api.canary_status import CanaryPhase
from sluice.api.names import GROUP
from sluice.api.run import RunPhase

ARGOCD = Path(__file__).resolve().parent
UPSTREAM = ARGOCD / "resource_customizations" / GROUP
CONFIG_MAP = ARGOCD / "argocd-cm.yaml"
DOCUMENT = ARGOCD.parent / "docs" / "gitops.md"

HEADER = (
    "# Generated from the scripts in argocd/ by argocd/generate.py. Do not edit: change those and generate again.\n"
)
SAME_AS = {"ClusterMetricSource": "MetricSource"}
"""Kinds that have the scripts of another one."""
WEIGHTS = ".spec.rules[]?.backendRefs[]?.weight"
ROUTES = ("HTTPRoute", "GRPCRoute")
ACTIONS = {
    "DataPipeline": {
        "run-now": "makes a PipelineRun with the defaults of all parameters",
        "suspend": "sets `spec.schedule.suspend`",
        "resume": "takes `spec.schedule.suspend` away",
    },
    "PipelineRun": {
        "cancel": "sets `spec.cancel`",
        "rerun-failed": "makes a PipelineRun that takes over what succeeded and runs the rest again",
    },
    "Canary": {
        "promote": "asks for `promote`",
        "promote-full": "asks for `promoteInFull`",
        "pause": "asks for `pause`",
        "resume": "asks for `resume`",
        "skip": "asks for `skip`",
        "abort": "asks for `abort`",
        "retry": "asks for `retry`",
    },
}
"""What each action does, in the words of docs/gitops.md."""


class _Text(str):
    """A text that YAML shows line by line."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")
)


def _yaml(value: Any) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120)
    return text


# -- the scripts ------------------------------------------------------------------------------------------------------


def health_script(kind: str) -> str:
    """The health script of a kind, whole."""
    folder = ARGOCD / "health"
    return (folder / "prelude.lua").read_text() + "\n" + (folder / f"{SAME_AS.get(kind, kind)}.lua").read_text()


def action_script(kind: str, action: str) -> str:
    """The script of an action, or `discovery`, whole."""
    folder = ARGOCD / "actions" / kind
    prelude = folder / "prelude.lua"
    before = prelude.read_text() + "\n" if prelude.exists() and action != "discovery" else ""
    return before + (folder / f"{action}.lua").read_text()


def unknown_scripts() -> list[str]:
    """Scripts that no kind or action has, as after a rename."""
    known = {
        ARGOCD / "health" / "prelude.lua",
        *(ARGOCD / "health" / f"{kind}.lua" for kind in KINDS),
        *(
            ARGOCD / "actions" / kind / f"{name}.lua"
            for kind, actions in ACTIONS.items()
            for name in ("prelude", "discovery", *actions)
        ),
    }
    return sorted(
        str(file.relative_to(ARGOCD))
        for folder in ("health", "actions")
        for file in (ARGOCD / folder).rglob("*.lua")
        if file not in known
    )


# -- for argocd-cm ----------------------------------------------------------------------------------------------------


def config_map() -> str:
    """The ConfigMap argocd-cm, with nothing in it but what is sluice's."""
    data = {f"resource.customizations.health.{GROUP}_{kind}": _Text(health_script(kind)) for kind in KINDS}
    for kind, actions in ACTIONS.items():
        scripts = {
            "discovery.lua": _Text(action_script(kind, "discovery")),
            "definitions": [{"name": name, "action.lua": _Text(action_script(kind, name))} for name in actions],
        }
        data[f"resource.customizations.actions.{GROUP}_{kind}"] = _Text(_yaml(scripts))
    for kind in ROUTES:
        ignored = {"jqPathExpressions": [WEIGHTS]}
        data[f"resource.customizations.ignoreDifferences.gateway.networking.k8s.io_{kind}"] = _Text(_yaml(ignored))
    metadata = {"name": "argocd-cm", "namespace": "argocd", "labels": {"app.kubernetes.io/part-of": "argocd"}}
    return HEADER + _yaml({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


# -- for Argo CD's repository -----------------------------------------------------------------------------------------


def upstream(kind: str) -> Iterator[tuple[Path, str]]:
    """The files of a kind as they lie in Argo CD's repository."""
    folder = UPSTREAM / kind
    yield folder / "health.lua", health_script(kind)
    rows = []
    for case in cases(kind):
        path = f"testdata/{case.name}.yaml"
        yield folder / path, _yaml(case.object)
        rows.append({"healthStatus": {"status": case.health, "message": case.message}, "inputPath": path})
    yield folder / "health_test.yaml", _yaml({"tests": rows})
    if kind not in ACTIONS:
        return
    yield folder / "actions" / "discovery.lua", action_script(kind, "discovery")
    for action in ACTIONS[kind]:
        yield folder / "actions" / action / "action.lua", action_script(kind, action)
    tests = action_tests(kind)
    for name, item in tests.files.items():
        yield folder / "actions" / "testdata" / name, _yaml(item)
    yield folder / "actions" / "action_test.yaml", _yaml(tests.document())


class ActionTests:
    """Tests of the actions of a kind, in the form that Argo CD's repository has them.

    An action that depends on the time has none there: its result cannot be written down.
    """

    def __init__(self) -> None:
        self.files: dict[str, Object] = {}
        self._actions: list[Object] = []

    def expect(self, action: str, name: str, before: Object, after: Object) -> None:
        """The action makes `after` of `before`."""
        self.files |= {f"{name}.yaml": before, f"{name}-after-{action}.yaml": after}
        self._actions.append(
            {
                "action": action,
                "inputPath": f"testdata/{name}.yaml",
                "expectedOutputPath": f"testdata/{name}-after-{action}.yaml",
            }
        )

    def document(self) -> Object:
        """The content of action_test.yaml."""
        return {"actionTests": self._actions}


def action_tests(kind: str) -> ActionTests:
    """The tests of a kind's actions."""
    tests = ActionTests()
    if kind == "DataPipeline":
        running = made(kind, None)
        spec = running["spec"]
        suspended = {**running, "spec": {**spec, "schedule": {**spec["schedule"], "suspend": True}}}
        tests.expect("suspend", "scheduled", running, suspended)
        tests.expect("resume", "suspended", suspended, running)
    elif kind == "PipelineRun":
        going = run(RunPhase.RUNNING)
        tests.expect("cancel", "running", going, {**going, "spec": {**going["spec"], "cancel": True}})
    else:
        tests.files["stepping.yaml"] = canary(CanaryPhase.STEPPING, weight=5)
    return tests


# -- for the documents ------------------------------------------------------------------------------------------------


def tables() -> dict[str, str]:
    """The generated parts of docs/gitops.md by name."""
    rows = [_row("every kind", "Progressing", cases("DataPipeline")[:COMMON])]
    for kind in KINDS:
        if kind in SAME_AS:
            continue
        names = ", ".join(f"`{name}`" for name in (kind, *(other for other, same in SAME_AS.items() if same == kind)))
        own = cases(kind)[COMMON:]
        rows += [_row(names, health, found) for health in _ORDER if (found := [c for c in own if c.health == health])]
    actions = [f"| `{kind}` | `{name}` | {what} |\n" for kind, named in ACTIONS.items() for name, what in named.items()]
    return {
        "health": "| kind | Argo CD says | when |\n|---|---|---|\n" + "".join(rows),
        "actions": "| kind | action | what it does |\n|---|---|---|\n" + "".join(actions),
    }


_ORDER = ("Healthy", "Progressing", "Suspended", "Degraded")


def _row(kind: str, health: str, states: Iterable[Case]) -> str:
    return f"| {kind} | {health} | {'; '.join(case.state for case in states)} |\n"


def _document() -> str:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, part in tables().items():
        pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)"
        if len(re.findall(pattern, text, flags=re.DOTALL)) != 1:
            raise ValueError(f"{DOCUMENT.name}: the markers of the generated part {name} have to stand there once")
        text = re.sub(pattern, lambda found, part=part: found[1] + part + found[2], text, flags=re.DOTALL)
    return text


# -- the command line -------------------------------------------------------------------------------------------------


def texts() -> dict[Path, str]:
    """What each file should hold."""
    files = {CONFIG_MAP: config_map(), DOCUMENT: _document()}
    for kind in KINDS:
        files |= dict(upstream(kind))
    return files


def main(arguments: list[str]) -> int:
    """Write the files, or with --check say which are stale. Exit code 1 when one is, or a script belongs to nothing."""
    if lost := unknown_scripts():
        print(f"no kind or action has these scripts: {', '.join(lost)}; KINDS and ACTIONS say which there are")
        return 1
    files, code = texts(), 0
    there = {file for file in UPSTREAM.rglob("*") if file.is_file()}
    stale = [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in sorted([*stale, *(there - set(files))]):
        name = path.relative_to(ARGOCD.parent)
        if "--check" in arguments:
            print(f"{name} is stale: run `python argocd/generate.py`")
            code = 1
        elif path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
        else:
            path.unlink()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
