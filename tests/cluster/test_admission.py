"""What cannot work is refused at `kubectl apply`, and by `sluice validate` before that, in the same words.

The schema of the CRD refuses what it can; the admission webhook the rest. `sluice validate` has both, without a cluster.
"""

import copy
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.planning.validation import check_manifest
from tests.cluster.kit import Manifest, Namespace, pipeline, run_manifest, shell

Change = Mapping[str, object]
"""{path: value} of what is different from a pipeline (or run) that is right. A path is dotted, with numbers for items."""


def _two_steps() -> Manifest:
    return pipeline(
        "two",
        shell("first", outputs=[{"name": "rows", "type": "integer"}]),
        shell("second", dependsOn=["first"]),
        params=[{"name": "carrier", "default": "ALL"}],
        schedule={"cron": ["0 6 * * *"], "timeZone": "Asia/Kolkata"},
        **{"finally": [shell("tidy")]},
    )


def _a_run() -> Manifest:
    return run_manifest("two-run", "two", params={"carrier": "AA"})


_ABSENT = object()


def _changed(manifest: Manifest, change: Change) -> Manifest:
    result = copy.deepcopy(manifest)
    for path, value in change.items():
        *above, last = (int(part) if part.isdecimal() else part for part in path.split("."))
        place: Any = result
        for part in above:
            place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
        if value is _ABSENT:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return result


PIPELINES: dict[str, Change] = {
    "a cycle": {"spec.steps.0.dependsOn": ["second"]},
    "a cycle of three": {
        "spec.steps.0.dependsOn": ["third"],
        "spec.steps.2": shell("third", dependsOn=["second"]),
    },
    "a cycle in finally": {
        "spec.finally": [shell("tidy", dependsOn=["report"]), shell("report", dependsOn=["tidy"])],
    },
    "a step that depends on itself": {"spec.steps.0.dependsOn": ["first"]},
    "a dependency that is no step": {"spec.steps.1.dependsOn": ["frist"]},
    "a dependency on a finally step": {"spec.steps.1.dependsOn": ["tidy"]},
    "a dependency of finally on a step": {"spec.finally.0.dependsOn": ["first"]},
    "a dependency named twice": {"spec.steps.1.dependsOn": ["first", "first"]},
    "a step name used twice": {"spec.steps.1.name": "first", "spec.steps.1.dependsOn": []},
    "a step name used again in finally": {"spec.finally.0.name": "first"},
    "a step name of 41 letters": {"spec.steps.1.name": "s" * 41},
    "a step name with capitals": {"spec.steps.1.name": "Second"},
    "an empty step name": {"spec.steps.1.name": ""},
    "no steps": {"spec.steps": []},
    "steps that are missing": {"spec.steps": _ABSENT},
    "a spec that is missing": {"spec": _ABSENT},
    "an unknown field": {"spec.shedule": {"cron": ["0 6 * * *"]}},
    "an unknown field of a step": {"spec.steps.1.comand": ["true"]},
    "two unknown fields": {"spec.steps.1.comand": ["true"], "spec.retries": 3},
    "a command that is a string": {"spec.steps.0.command": "true"},
    "a retry limit that is a string": {"spec.steps.0.retry": {"limit": "3"}},
    "a retry limit below zero": {"spec.steps.0.retry": {"limit": -1}},
    "a retry limit that is missing": {"spec.steps.0.retry": {"backoff": {"duration": "1s"}}},
    "a factor below one": {"spec.steps.0.retry": {"limit": 1, "backoff": {"factor": 0.5}}},
    "an image that is missing": {"spec.steps.0.image": _ABSENT},
    "an image that is null": {"spec.steps.0.image": None},
    "an image with a space": {"spec.steps.0.image": "acme/flights 1.4"},
    "an image with capitals": {"spec.steps.0.image": "ghcr.io/Acme/Flights:1.4"},
    "an image that is empty": {"spec.steps.0.image": ""},
    "a pull policy that is none": {"spec.steps.0.imagePullPolicy": "Sometimes"},
    "a duration without a unit": {"spec.timeouts": {"run": "90"}},
    "a duration that is a number": {"spec.timeouts": {"run": 90}},
    "a duration in days": {"spec.steps.0.timeouts": {"step": "2d"}},
    "durations that are wrong in two places": {"spec.timeouts": {"run": "soon", "finally": "later"}},
    "a concurrency policy that is none": {"spec.concurrency": {"policy": "Maybe"}},
    "a limit of no steps": {"spec.concurrency": {"maxActiveSteps": 0}},
    "a limit of steps that is fractional": {"spec.concurrency": {"maxActiveSteps": 1.5}},
    "an environment variable given twice": {
        "spec.steps.0.env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    },
    "an environment variable that is a number": {"spec.steps.0.env": [{"name": "A", "value": 1}]},
    "a memory limit that is a fraction": {"spec.steps.0.resources": {"limits": {"memory": 1.5}}},
    "a retry limit of more than 64 bits": {"spec.steps.0.retry": {"limit": 10**20}},
    "a list of objects as a description": {"spec.description": [{"text": "x"}]},
    "an image with a line break": {"spec.steps.0.image": "busybox\n"},
    "a null that leaves a list out": {"spec.params": None, "spec.steps.0.args": ["$(params.carrier)"]},
    "a memory limit that is no quantity": {"spec.steps.0.resources": {"limits": {"memory": "lots"}}},
    "a cron line of six fields": {"spec.schedule.cron": ["0 0 6 * * *"]},
    "a cron line of one word": {"spec.schedule.cron": ["@daily"]},
    "a cron line out of range": {"spec.schedule.cron": ["0 25 * * *"]},
    "a cron line that never comes": {"spec.schedule.cron": ["0 6 30 2 *"]},
    "the second of two cron lines": {"spec.schedule.cron": ["0 6 * * *", "0 6 * * blue"]},
    "no cron line": {"spec.schedule.cron": []},
    "a time zone that is none": {"spec.schedule.timeZone": "Asia/Bangalore"},
    "a time zone that is missing": {"spec.schedule.timeZone": _ABSENT},
    "a schedule that ends before it starts": {
        "spec.schedule.start": "2030-01-02T00:00:00Z",
        "spec.schedule.end": "2030-01-01T00:00:00Z",
    },
    "a start that is no time": {"spec.schedule.start": "tomorrow"},
    "a start that is a number": {"spec.schedule.start": 20260101},
    "a start without a time zone": {"spec.schedule.start": "2026-01-01T00:00:00"},
    "a start in seconds since 1970": {"spec.schedule.start": "1700000000"},
    "a catch-up policy that is none": {"spec.schedule.catchUp": {"policy": "Sometimes"}},
    "a catch-up limit that is too large": {"spec.schedule.catchUp": {"policy": "All", "limit": 1001}},
    "a parameter of an unknown type": {"spec.params.0.type": "date"},
    "a parameter whose name is no identifier": {"spec.params.0.name": "air-line"},
    "a parameter declared twice": {"spec.params.1": {"name": "carrier"}},
    "a default of another type": {"spec.params.0": {"name": "carrier", "type": "integer", "default": "ALL"}},
    "a default outside the values allowed": {"spec.params.0.enum": ["AA", "UA"]},
    "a default that does not match the pattern": {"spec.params.0.pattern": "[A-Z]{2}"},
    "a default below the minimum": {
        "spec.params.0": {"name": "carrier", "type": "number", "default": 1.5, "minimum": 2}
    },
    "a minimum of a string": {"spec.params.0.minimum": 1},
    "a pattern that does not compile": {"spec.params.0.pattern": "("},
    "a reference to an unknown parameter": {"spec.steps.0.args": ["$(params.carier)"]},
    "a reference to an unknown step": {"spec.steps.1.args": ["$(steps.frist.outputs.rows)"]},
    "a reference to a step that is not upstream": {"spec.steps.0.args": ["$(steps.second.outputs.rows)"]},
    "a reference of a step to its own output": {"spec.steps.1.args": ["$(steps.second.outputs.rows)"]},
    "a reference to an undeclared output": {"spec.steps.1.args": ["$(steps.first.outputs.row)"]},
    "a reference in an environment variable": {
        "spec.steps.1.env": [{"name": "ROWS", "value": "$(steps.first.outputs.x)"}]
    },
    "a reference that exists in finally only": {"spec.steps.1.args": ["$(run.outcome)", "$(steps.first.phase)"]},
    "a reference that is none": {"spec.steps.1.args": ["$(run.nmae)"]},
    "an output without a default in finally": {"spec.finally.0.args": ["$(steps.first.outputs.rows)"]},
    "an unknown step's phase in finally": {"spec.finally.0.args": ["$(steps.frist.phase)"]},
    "an output declared twice": {"spec.steps.0.outputs.1": {"name": "rows"}},
    "an output whose default is of another type": {"spec.steps.0.outputs.0.default": "many"},
    "a label of the operator's": {"spec.podTemplate": {"metadata": {"labels": {"sluice.dev/run": "x"}}}},
    "a label that is a number": {"spec.podTemplate": {"metadata": {"labels": {"team": 1}}}},
    "a pod field that cannot be set": {"spec.podTemplate": {"spec": {"hostNetwork": True}}},
    "a name of 43 letters": {"metadata.name": "p" * 43},
    "several things of several kinds": {
        "spec.steps.1.dependsOn": ["frist"],
        "spec.steps.1.args": ["$(params.carier)"],
        "spec.schedule.timeZone": "Mars/Olympus",
    },
}

RUNS: dict[str, Change] = {
    "an unknown field of a run": {"spec.parameters": {}},
    "a run without a pipeline": {"spec.pipeline": _ABSENT},
    "a pipeline name that is none": {"spec.pipeline.name": "Two!"},
    "params that are a list": {"spec.params": ["carrier=AA"]},
    "a cancel that is a word": {"spec.cancel": "yes"},
    "an interval that ends before it starts": {
        "spec.interval": {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}
    },
    "an interval without an end": {"spec.interval": {"start": "2026-01-02T00:00:00Z"}},
    "an interval that is no time": {"spec.interval": {"start": "yesterday", "end": "2026-01-01T00:00:00Z"}},
}

CASES = [
    *(pytest.param(_changed(_two_steps(), change), id=name) for name, change in PIPELINES.items()),
    *(pytest.param(_changed(_a_run(), change), id=name) for name, change in RUNS.items()),
]


@pytest.fixture(scope="module")
def shared(kubeconfig: Path) -> Namespace:
    """A namespace that all refusals may share: nothing comes into being in it."""
    return Namespace("default", kubeconfig)


@pytest.mark.parametrize("manifest", CASES)
def test_the_api_server_refuses_in_the_words_of_sluice_validate(shared: Namespace, manifest: Manifest) -> None:
    # Of several unknown fields the API server makes one sentence, with these words at its head.
    expected = [str(error).removeprefix("strict decoding error: ") for error in check_manifest(manifest)]
    assert expected, "sluice validate finds nothing wrong"
    refused = shared.apply(manifest, check=False)
    assert refused.returncode != 0, refused.stdout
    assert not [line for line in expected if line not in refused.stderr], refused.stderr


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="the pipeline as it is"),
        pytest.param({"spec.steps.0.args": None, "spec.steps.1.env": None}, id="null for lists that may be left out"),
        pytest.param({"spec.concurrency": {"maxActiveSteps": 3.0}}, id="a whole number written with a point"),
        pytest.param(
            {"spec.steps.0.resources": {"limits": {"cpu": 2, "memory": "1e3"}}}, id="quantities of both types"
        ),
        pytest.param({"spec.schedule.start": "2026-01-01T00:00:00.5+05:30"}, id="a moment with a fraction and a zone"),
        pytest.param({"spec.finally.0.args": ["$(steps.first.outputs.rows ?? 0) $(run.outcome)"]}, id="references"),
        pytest.param({"spec.steps.0.args": ["$(HOME) $$(params.x) ${x}"]}, id="text that is no reference"),
    ],
)
def test_what_sluice_validate_takes_the_api_server_takes_too(shared: Namespace, change: Change) -> None:
    manifest = _changed(_two_steps(), change)
    assert check_manifest(manifest) == []
    shared.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(manifest))


def test_a_cycle_is_named_with_its_path(shared: Namespace) -> None:
    refused = shared.apply(_changed(_two_steps(), {"spec.steps.0.dependsOn": ["second"]}), check=False)
    assert (
        'spec.steps[0].dependsOn: Invalid value: ["second"]: makes a cycle: first -> second -> first; '
        "a step must not depend on itself through others"
    ) in refused.stderr


def test_all_that_is_wrong_is_said_at_once(shared: Namespace) -> None:
    refused = shared.apply(_changed(_two_steps(), PIPELINES["several things of several kinds"]), check=False)
    for field in ("spec.steps[1].dependsOn[0]", "spec.steps[1].args[0]", "spec.schedule.timeZone"):
        assert field in refused.stderr


def test_sluice_validate_prints_the_words_of_the_api_server(shared: Namespace, tmp_path: Path) -> None:
    manifest = _changed(_two_steps(), PIPELINES["several things of several kinds"])
    file = tmp_path / "two.yaml"
    file.write_text(yaml.safe_dump(manifest))
    judged = shared.cli("validate", str(file))
    refused = shared.apply(manifest, check=False)
    assert judged.returncode == refused.returncode == 1
    assert not [error for error in check_manifest(manifest) if str(error) not in judged.stdout]
    assert not [error for error in check_manifest(manifest) if str(error) not in refused.stderr]


PARAMS = [
    {"name": "carrier", "enum": ["AA", "UA"], "default": "AA"},
    {"name": "days", "type": "integer", "minimum": 1, "maximum": 31, "default": 1},
    {"name": "day", "pattern": "[0-9]{4}-[0-9]{2}-[0-9]{2}", "default": "2013-01-01"},
    {"name": "columns", "type": "array", "minLength": 1, "default": ["a"]},
    {"name": "full", "type": "boolean", "default": False},
    {"name": "share", "type": "number", "default": 0.5},
    {"name": "options", "type": "object", "default": {"a": 1}},
]


@pytest.fixture(scope="module")
def with_params(kubeconfig: Path) -> Iterator[Namespace]:
    """A namespace with the pipeline `typed`, which has a parameter of each type. No run of it is ever taken."""
    namespace = Namespace(f"test-{uuid.uuid4().hex[:8]}", kubeconfig)
    namespace.kubectl("create", "namespace", namespace.name)
    namespace.apply(pipeline("typed", shell("only"), params=PARAMS))
    namespace.apply(pipeline("strict", shell("only"), params=[{"name": "day"}]))
    yield namespace
    namespace.kubectl("delete", "namespace", namespace.name, "--wait=false", check=False)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("typed", {"days": "3"}, 'spec.params.days: Invalid value: "3": must be an integer'),
        ("typed", {"days": 1.5}, "spec.params.days: Invalid value: 1.5: must be an integer"),
        ("typed", {"days": True}, "spec.params.days: Invalid value: true: must be an integer"),
        ("typed", {"days": 0}, "spec.params.days: Invalid value: 0: must be at least 1"),
        ("typed", {"days": 32}, "spec.params.days: Invalid value: 32: must be at most 31"),
        ("typed", {"carrier": "BA"}, 'spec.params.carrier: Unsupported value: "BA": supported values: "AA", "UA"'),
        ("typed", {"carrier": ["AA"]}, 'spec.params.carrier: Invalid value: ["AA"]: must be a string'),
        ("typed", {"day": "2013-1-1"}, 'spec.params.day: Invalid value: "2013-1-1": must match [0-9]{4}-'),
        ("typed", {"columns": "a"}, 'spec.params.columns: Invalid value: "a": must be an array'),
        ("typed", {"columns": []}, "spec.params.columns: Invalid value: []: must have a length of at least 1"),
        ("typed", {"full": "true"}, 'spec.params.full: Invalid value: "true": must be true or false'),
        ("typed", {"share": "half"}, 'spec.params.share: Invalid value: "half": must be a number'),
        ("typed", {"options": [1]}, "spec.params.options: Invalid value: [1]: must be an object"),
        ("typed", {"carier": "AA"}, 'spec.params.carier: Not found: "carier": the pipeline has these parameters: car'),
        ("strict", {}, "spec.params.day: Required value: a string without a default"),
        ("typo", {}, 'spec.pipeline.name: Not found: "typo": no such DataPipeline in namespace'),
    ],
)
def test_a_run_is_refused_for_its_params(with_params: Namespace, name: str, params: Manifest, message: str) -> None:
    refused = with_params.apply(run_manifest("bad", name, params=params), check=False)
    assert refused.returncode != 0, refused.stdout
    assert message in refused.stderr


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"params": {"carrier": "UA"}}, 'spec.params: Invalid value: {"carrier":"UA"}: cannot be changed'),
        ({"pipeline": {"name": "other"}}, 'spec.pipeline: Invalid value: {"name":"other"}: cannot be changed'),
        ({"revision": "two-1"}, 'spec.revision: Invalid value: "two-1": cannot be changed; make another run'),
        (
            {"interval": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}},
            "cannot be changed; make another run",
        ),
        ({"cancel": False}, "spec.cancel: Invalid value: false: cannot be taken back; make another run"),
        ({"cancel": None}, "spec.cancel: Invalid value: null: cannot be taken back; make another run"),
    ],
)
def test_of_a_run_nothing_but_cancel_can_be_changed(cancelled: Namespace, patch: Manifest, message: str) -> None:
    refused = cancelled.kubectl(
        "patch", "pipelinerun", "over", "--type=merge", "-p", json.dumps({"spec": patch}), check=False
    )
    assert refused.returncode != 0, refused.stdout
    assert message in refused.stderr


@pytest.fixture(scope="module")
def cancelled(kubeconfig: Path) -> Iterator[Namespace]:
    """A namespace with the run `over`, which was cancelled before it started."""
    namespace = Namespace(f"test-{uuid.uuid4().hex[:8]}", kubeconfig)
    namespace.kubectl("create", "namespace", namespace.name)
    namespace.apply(pipeline("two", shell("only"), params=[{"name": "carrier", "default": "AA"}]))
    namespace.run("two", "over", cancel=True)
    yield namespace
    namespace.kubectl("delete", "namespace", namespace.name, "--wait=false", check=False)
