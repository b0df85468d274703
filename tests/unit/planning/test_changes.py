"""What is said of the difference between two sets of manifests."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.planning.changes.canaries import in_words
from sluice.planning.changes.compare import compare
from sluice.planning.changes.fields import MAX_FIELDS, MAX_SHOWN, field_changes
from sluice.planning.changes.objects import Change, Level, Ref, Tree, What
from tests.builders import IMAGE, NOW, manifest, step_dict

Manifest = dict[str, Any]


def pipeline(name: str = "flights", **spec: Any) -> Manifest:
    steps = [step_dict("extract"), step_dict("clean", "extract")]
    return manifest("DataPipeline", {"steps": steps, **spec}, name)


def gate(name: str = "slo", *checks: str, most: float = 0.01, source: str = "prometheus") -> Manifest:
    rows = [{"name": one, "metric": {"source": source, "query": "up", "max": most}} for one in checks or ("errors",)]
    return manifest("QualityGate", {"checks": rows}, name)


def canary(name: str = "pricing", **spec: Any) -> Manifest:
    fields = {
        "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "pricing"},
        "routing": {"gatewayAPI": {"routes": [{"name": "pricing"}]}},
        "canary": {"steps": [{"weight": 5, "hold": "10m"}, {"weight": 50, "hold": "5m"}]},
        "gates": [{"name": "slo"}],
    }
    return manifest("Canary", {k: v for k, v in (fields | spec).items() if v is not None}, name)


def deployment(image: str = "acme/pricing:1", *, name: str = "pricing", **spec: Any) -> Manifest:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": image}]}}
    body = {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": body}


def config(kind: str = "ConfigMap", **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "rates"}, "data": data}


def tree(*objects: Manifest, unit: str = "") -> Tree:
    found: dict[Ref, Manifest] = {}
    for one in objects:
        ref = Ref.of(one, unit)
        assert ref is not None
        found[ref] = one
    return Tree(found)


def changes(old: list[Manifest], new: list[Manifest]) -> dict[str, Change]:
    return {str(change.ref): change for change in compare(tree(*old), tree(*new), NOW)}


def said(old: list[Manifest], new: list[Manifest], of: str) -> list[str]:
    return [effect.message for effect in changes(old, new)[of].effects]


def levels(old: list[Manifest], new: list[Manifest], of: str) -> set[Level]:
    return {effect.level for effect in changes(old, new)[of].effects}


def edited(one: Manifest, path: str, value: Any) -> Manifest:
    """The manifest with another value at a.b.0.c; None takes the field out."""
    new: Any = copy.deepcopy(one)
    *parents, last = path.split(".")
    place = new
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    if value is None:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return dict(new)


# -- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["a: 1 -> 2"]),
        ({"a": 1}, {"b": 1}, ["a: 1 (removed)", "b: 1 (new)"]),
        ({"a": {"b": "x"}}, {"a": {"b": "y"}}, ["a.b: x -> y"]),
        ({"a": ["x"]}, {"a": ["x", "y"]}, ['a: ["x"] -> ["x", "y"]']),
        ({"a": True}, {"a": 1}, ["a: true -> 1"]),
        ({"a": None}, {"a": []}, ["a: null -> []"]),
        (
            {"steps": [{"name": "a", "v": 1}, {"name": "b"}]},
            {"steps": [{"name": "b"}, {"name": "a", "v": 2}]},
            ["steps[a].v: 1 -> 2", "steps: in the order a, b -> in the order b, a"],
        ),
        (
            {"steps": [{"name": "a"}, {"name": "b"}]},
            {"steps": [{"name": "b"}, {"name": "a"}]},
            ["steps: in the order a, b -> in the order b, a"],
        ),
        ({"w": [{"weight": 5}, {"weight": 9}]}, {"w": [{"weight": 5}, {"weight": 8}]}, ["w[1].weight: 9 -> 8"]),
        ({"a": "one\ntwo\x1b[31m"}, {"a": "x"}, ["a: one two [31m -> x"]),
    ],
)
def test_fields_are_told_by_paths_for_people(before: Any, after: Any, expected: list[str]) -> None:
    assert [str(row) for row in field_changes(before, after)] == expected


def test_a_long_value_is_cut() -> None:
    (row,) = field_changes({"a": "x" * 5000}, {"a": "y"})
    assert row.before == "x" * MAX_SHOWN + "... (5000 characters)"


def test_of_very_many_fields_the_first_are_listed_and_the_rest_is_counted() -> None:
    old = config(**{f"k{i}": "a" for i in range(MAX_FIELDS + 7)})
    new = config(**{f"k{i}": "b" for i in range(MAX_FIELDS + 7)})
    change = changes([old], [new])["ConfigMap rates"]
    assert (len(change.fields), change.more_fields) == (MAX_FIELDS, 7)


def test_no_value_of_a_secret_is_shown() -> None:
    old, new = config("Secret", token="b2xk"), config("Secret", token="bmV3")
    for one in (old, new):
        one["metadata"]["annotations"] = {"last-applied": json.dumps(one["data"])}
    change = changes([old], [new])["Secret rates"]
    assert [str(row) for row in change.fields] == [
        "metadata.annotations.last-applied: (hidden) -> (hidden)",
        "data.token: (hidden) -> (hidden)",
    ]
    assert "bmV3" not in repr(change)
    assert "b2xk" not in repr(change)


# -- objects ----------------------------------------------------------------------------------------------------------


def test_equal_trees_have_no_changes() -> None:
    everything = [pipeline(), gate(), canary(), deployment(), config(a="1")]
    assert changes(everything, copy.deepcopy(everything)) == {}


def test_the_order_of_keys_is_no_change() -> None:
    assert changes([pipeline()], [dict(reversed(list(pipeline().items())))]) == {}


def test_objects_of_any_kind_are_added_removed_and_changed() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}}
    other = edited(service, "metadata.name", "b")
    found = changes([service, config(a="1")], [edited(service, "spec.ports.0.port", 81), other])
    assert {name: change.what for name, change in found.items()} == {
        "ConfigMap rates": What.REMOVED,
        "Service a": What.CHANGED,
        "Service b": What.ADDED,
    }


def test_objects_of_two_overlays_are_not_mixed_up() -> None:
    def both(dev: str, prod: str) -> Tree:
        one, other = tree(deployment(dev), unit="dev"), tree(deployment(prod), unit="prod")
        return Tree({**one.objects, **other.objects})

    (change,) = compare(both("a:1", "a:1"), both("a:1", "a:2"), NOW)
    assert change.ref.unit == "prod"


def test_an_object_that_moves_into_a_kustomization_stays_what_it_is() -> None:
    assert compare(tree(pipeline()), tree(pipeline(), unit="prod"), NOW) == []
    (change,) = compare(tree(pipeline()), tree(pipeline(description="x"), unit="prod"), NOW)
    assert change.what is What.CHANGED


# -- pipelines --------------------------------------------------------------------------------------------------------

DAILY = {"cron": ["0 6 * * *"], "timeZone": "Asia/Kolkata"}
FIRST = "Tue 2026-03-03 06:00, Wed 2026-03-04 06:00, Thu 2026-03-05 06:00 (Asia/Kolkata)"
"""NOW is 11:30 in India."""


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("steps.0.image", "acme/flights:2", f"step extract changes: image {IMAGE} -> acme/flights:2"),
        ("steps.0.command", ["python"], "step extract changes: command"),
        ("steps.0.resources", {"limits": {"memory": "1Gi"}}, "step extract changes: resources"),
        ("steps.1.dependsOn", [], "step clean changes: dependsOn"),
        (
            "steps",
            [step_dict("extract"), step_dict("clean", "extract"), step_dict("load", "clean")],
            f"step load is added after clean: image {IMAGE}",
        ),
        ("steps", [step_dict("extract")], "step clean is removed"),
        ("finally", [step_dict("tidy")], f"finally step tidy is added: image {IMAGE}"),
        ("schedule", DAILY, f"next runs: {FIRST}"),
        ("params", [{"name": "day"}], "parameter day (string) is added; a run has to give it"),
        ("params", [{"name": "day", "default": "x"}], "parameter day (string) is added, default x"),
        ("retention", {"failed": 3}, "failed runs beyond the newest 3 are removed"),
    ],
)
def test_what_an_edit_of_a_pipeline_does(path: str, value: Any, expected: str) -> None:
    messages = said([pipeline()], [edited(pipeline(), f"spec.{path}", value)], "DataPipeline flights")
    assert any(message.startswith(expected) for message in messages), messages
    assert messages[0].startswith("the next run uses the new revision flights-")


def test_the_revision_that_is_named_is_the_one_that_the_operator_makes() -> None:
    from sluice.planning.pipeline import content_hash

    new = edited(pipeline(), "spec.description", "x")
    before, after = (f"flights-{content_hash(one['spec'])}" for one in (pipeline(), new))
    assert said([pipeline()], [new], "DataPipeline flights") == [
        f"the next run uses the new revision {after}; runs under way go on with {before}"
    ]


def test_a_label_makes_no_new_revision() -> None:
    new = edited(pipeline(), "metadata.labels", {"team": "a"})
    (message,) = said([pipeline()], [new], "DataPipeline flights")
    assert message.startswith("no new revision: the spec stays flights-")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, DAILY, ["a schedule is added; it counts from its arrival in the cluster", f"next runs: {FIRST}"]),
        (DAILY, None, ["the schedule is removed: runs are started by hand only"]),
        (DAILY, DAILY | {"suspend": True}, ["the schedule is suspended: no run starts by itself"]),
        (DAILY | {"suspend": True}, DAILY, ["the schedule goes on", f"next runs: {FIRST}"]),
        (DAILY, DAILY | {"cron": ["30 7 * * 1"]}, ["the schedule changes", "next runs: Mon 2026-03-09 07:30"]),
        (
            DAILY,
            {"cron": ["0 6 * * *"], "timeZone": "Europe/Berlin"},
            ["the schedule changes", "next runs: Tue 2026-03-03 06:00"],
        ),
        (
            DAILY,
            DAILY | {"end": "2026-03-04T00:00:00Z"},
            ["the schedule changes", "next runs: Tue 2026-03-03 06:00 (A"],
        ),
        (DAILY, DAILY | {"end": "2026-03-01T00:00:00Z"}, ["the schedule changes", "the schedule has no tick any more"]),
    ],
)
def test_a_schedule_is_told_by_its_next_ticks_in_its_zone(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, expected: list[str]
) -> None:
    old, new = (pipeline(**({"schedule": one} if one is not None else {})) for one in (before, after))
    messages = said([old], [new], "DataPipeline flights")[1:]
    assert all(any(message.startswith(start) for message in messages) for start in expected), messages


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"default": "a"}, {"default": "b"}, "parameter day: default a -> b"),
        ({"default": "a"}, {}, "parameter day: default a -> none"),
        (
            {"default": "a"},
            {"default": "a", "enum": ["a"]},
            "parameter day: what is allowed, or its description, changes",
        ),
        ({"default": "a"}, None, "parameter day is removed: runs that give it are refused"),
    ],
)
def test_a_parameter_is_told(before: Manifest, after: Manifest | None, expected: str) -> None:
    old = pipeline(params=[{"name": "day", **before}])
    new = pipeline(params=[{"name": "day", **after}] if after is not None else [])
    assert expected in said([old], [new], "DataPipeline flights")


def test_a_step_that_becomes_a_finally_step_is_told() -> None:
    new = pipeline(steps=[step_dict("extract")], **{"finally": [step_dict("clean")]})
    assert "step clean becomes a finally step" in said([pipeline()], [new], "DataPipeline flights")


def test_a_new_pipeline_says_when_it_runs() -> None:
    assert said([], [pipeline(schedule=DAILY)], "DataPipeline flights") == [
        "2 steps: extract and clean",
        f"next runs: {FIRST}",
    ]
    assert "has no schedule: runs are started by hand" in said([], [pipeline()], "DataPipeline flights")


def test_the_runs_of_a_removed_pipeline_go_with_it() -> None:
    messages = said([pipeline()], [], "DataPipeline flights")
    assert messages == ["its runs go with it, also those under way, with their pods, logs and revisions"]
    assert levels([pipeline()], [], "DataPipeline flights") == {Level.WARNING}


def test_a_renamed_pipeline_is_one_change_that_says_what_is_lost() -> None:
    (change,) = changes([pipeline("flights")], [pipeline("flights-daily")]).values()
    assert change.what is What.RENAMED
    assert change.before == Ref("DataPipeline", "", "flights", "sluice.dev")
    assert "the runs, logs and revisions of flights go with it" in change.effects[0].message


def test_another_name_and_another_spec_are_two_pipelines() -> None:
    found = changes([pipeline("a")], [pipeline("b", description="x")])
    assert {change.what for change in found.values()} == {What.ADDED, What.REMOVED}


def test_two_twins_are_no_rename() -> None:
    found = changes([pipeline("a"), pipeline("b")], [pipeline("c")])
    assert sorted(change.what for change in found.values()) == ["added", "removed", "removed"]


def test_of_an_invalid_pipeline_nothing_is_promised() -> None:
    new = edited(pipeline(), "spec.steps.1.dependsOn", ["nobody"])
    messages = said([pipeline()], [new], "DataPipeline flights")
    assert [message.split(" revision")[0] for message in messages] == ["the next run uses the new"]


# -- canaries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "5 % for 10m, 50 % for 5m, then 100 %, watch 1m; gate slo"),
        ({"watch": "10m", "gates": [{"name": "b"}, {"name": "a"}]}, "5 % for 10m, 50 % for 5m, then 100 %, watch 10m; gates a, b"),
        ({"canary": {"steps": [{"weight": 20}, {"weight": 100}]}}, "20 % for 1m, 100 % for 1m, watch 1m; gate slo"),
        ({"candidate": {"ceiling": 40}}, "5 % for 10m, 40 % for 5m, watch 1m; gate slo"),
        ({"routing": {"replicas": {}}}, "5 % for 10m, 50 % for 5m, watch 1m; by numbers of pods; gate slo"),
        (
            {"approval": {"promotion": "Manual"}},
            "5 % for 10m, 50 % for 5m, then 100 %, watch 1m; gate slo; a person has to say promote",
        ),
        (
            {"canary": {"steps": [{"weight": 0, "mirror": 20}], "match": [{"cookie": {"name": "ring", "value": "x"}}]}},
            "0 % and copies of 20 % for 1m, then 100 %, watch 1m; from the first step on also requests that match by "
            "cookie ring; gate slo",
        ),
        (
            {"canary": None, "blueGreen": {"checks": [{"name": "smoke"}], "watch": "10m", "keepOld": "1h"}},
            "blue-green: 100 % at once once smoke passed, watch 10m, the old version kept warm for 1h; gates slo, smoke",
        ),
        (
            {"canary": None, "blueGreen": {"preview": {"name": "preview"}}},
            "blue-green: first by the route preview alone; then 100 % at once, watch 1m; gate slo",
        ),
    ],
)  # fmt: skip
def test_a_strategy_in_words(spec: Mapping[str, Any], expected: str) -> None:
    from sluice.api.canary import CanarySpec

    assert in_words(CanarySpec.model_validate(canary(**spec)["spec"])) == expected


def test_a_new_template_of_a_target_starts_a_canary() -> None:
    assert said([canary(), deployment("a:1")], [canary(), deployment("a:2")], "Deployment pricing") == [
        "a canary will start (pricing): 5 % for 10m, 50 % for 5m, then 100 %, watch 1m; gate slo"
    ]


def test_a_new_number_of_replicas_is_no_new_revision() -> None:
    assert said([canary(), deployment()], [canary(), deployment(replicas=9)], "Deployment pricing") == [
        "Canary pricing: no new revision, as the pod template does not change"
    ]


def test_a_revision_that_may_be_let_in_again_is_told() -> None:
    cn = canary(rollback={"window": 3})
    messages = said([cn, deployment("a:1")], [cn, deployment("a:2")], "Deployment pricing")
    assert messages[1] == "unless this revision was stable among the last 3: then it is let in without steps and gates"


def test_a_deployment_without_a_canary_has_no_effects() -> None:
    assert said([deployment("a:1")], [deployment("a:2")], "Deployment pricing") == []


def test_the_canary_of_another_namespace_is_none_of_it() -> None:
    cn = edited(canary(), "metadata.namespace", "other")
    assert said([cn, deployment("a:1")], [cn, deployment("a:2")], "Deployment pricing") == []


def test_a_config_of_the_version_starts_a_canary() -> None:
    cn = canary(configs=[{"kind": "ConfigMap", "name": "rates"}])
    old, new = [cn, deployment(), config(a="1")], [cn, deployment(), config(a="2")]
    assert said(old, new, "ConfigMap rates") == [
        "belongs to the version that Canary pricing lets in",
        "a canary will start (pricing): 5 % for 10m, 50 % for 5m, then 100 %, watch 1m; gate slo",
    ]
    assert said([canary(), *old[1:]], [canary(), *new[1:]], "ConfigMap rates") == []


def test_a_version_that_comes_together_with_its_canary_is_warned_of() -> None:
    (first, *_) = said([deployment("a:1")], [canary(), deployment("a:2")], "Deployment pricing")
    assert "merge the Canary first" in first


def test_a_version_that_comes_as_its_canary_goes_is_warned_of() -> None:
    old, new = [canary(), deployment("a:1")], [deployment("a:2")]
    assert said(old, new, "Deployment pricing") == [
        "Canary pricing is removed as well: the new version rolls out at once, and nothing holds it back"
    ]
    assert "new versions of Deployment pricing roll out at once from then on" in said(old, new, "Canary pricing")


def test_the_first_version_needs_no_canary() -> None:
    assert said([canary()], [canary(), deployment()], "Deployment pricing") == [
        "Canary pricing: the first stable revision; canaries begin with the next one"
    ]


def test_a_target_that_goes_is_told() -> None:
    assert said([canary(), deployment()], [canary()], "Deployment pricing") == [
        "Canary pricing waits for its target: there is no Deployment pricing in the new tree"
    ]


def test_paused_in_git_is_warned_of() -> None:
    messages = said([canary(), deployment()], [canary(), deployment(paused=True)], "Deployment pricing")
    assert any(message.startswith("spec.paused is stated in Git") for message in messages)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("spec.canary.steps.0.weight", 10, "a rollout that is under way starts over: the strategy is another"),
        ("spec.routing.gatewayAPI.routes.0.name", "other", "a rollout that is under way starts over"),
        ("spec.watch", "5m", "holds from then on, also for a rollout that is under way"),
        (
            "spec.watch",
            "5m",
            "new versions will be let in so: 5 % for 10m, 50 % for 5m, then 100 %, watch 5m; gate slo",
        ),
    ],
)
def test_an_edit_of_a_canary_says_whether_a_rollout_starts_over(path: str, value: Any, expected: str) -> None:
    messages = said([canary()], [edited(canary(), path, value)], "Canary pricing")
    assert any(message.startswith(expected) for message in messages), messages


def test_a_canary_cannot_change_its_target() -> None:
    (effect, *_) = changes([canary()], [edited(canary(), "spec.target.name", "b")])["Canary pricing"].effects
    assert effect.level is Level.ERROR
    assert (
        effect.message == 'spec.target.name: Invalid value: "b": cannot be changed from "pricing"; make another Canary'
    )
    assert effect.at == (Ref("Canary", "", "pricing", "sluice.dev"), "spec.target.name")


def test_two_canaries_of_one_target_are_refused() -> None:
    found = changes([canary()], [canary(), canary("twin", watch="2m")])["Canary twin"]
    errors = [effect.message for effect in found.effects if effect.level is Level.ERROR]
    assert errors == ['spec.target.name: Invalid value: "pricing": is the target of Canary "pricing" already']


def test_a_renamed_canary_says_what_is_forgotten() -> None:
    (change,) = changes([canary("a")], [canary("b")]).values()
    assert change.what is What.RENAMED
    assert "forgets stable and failed revisions" in change.effects[0].message


# -- gates ------------------------------------------------------------------------------------------------------------


def gated() -> Manifest:
    return pipeline(steps=[step_dict("extract"), {"name": "check", "gate": {"name": "slo"}, "dependsOn": ["extract"]}])


def test_a_changed_gate_says_whom_it_judges_and_which_checks_are_others() -> None:
    users = [gated(), canary(), deployment()]
    messages = said([gate("slo", "a", "b"), *users], [gate("slo", "b", "c", most=0.5), *users], "QualityGate slo")
    assert messages == [
        "judges DataPipeline flights and Canary pricing; runs and rollouts under way are judged anew by it from then on",
        "check added: c",
        "check removed: a",
        "check changed: b",
    ]


def test_a_gate_that_goes_while_something_names_it_is_an_error_at_that_place() -> None:
    change = changes([gate(), gated(), canary()], [gated(), canary()])["QualityGate slo"]
    assert {effect.level for effect in change.effects} == {Level.ERROR}
    assert [effect.at for effect in change.effects] == [
        (Ref("DataPipeline", "", "flights", "sluice.dev"), "spec.steps[1].gate.name"),
        (Ref("Canary", "", "pricing", "sluice.dev"), "spec.gates[0].name"),
    ]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"gates": [], "canary": {"steps": [{"weight": 5, "gates": [{"name": "slo"}]}]}}, "spec.canary.steps[0].gates[0].name"),
        ({"gates": [], "canary": None, "blueGreen": {"checks": [{"name": "slo"}]}}, "spec.blueGreen.checks[0].name"),
    ],
)  # fmt: skip
def test_a_gate_is_found_wherever_a_canary_names_it(spec: Mapping[str, Any], path: str) -> None:
    (effect,) = changes([gate(), canary(**spec)], [canary(**spec)])["QualityGate slo"].effects
    assert effect.at is not None
    assert effect.at[1] == path


def test_a_gate_that_nothing_names_may_go() -> None:
    assert said([gate()], [], "QualityGate slo") == ["nothing in the new tree names it"]


def test_a_renamed_gate_that_something_still_names_is_an_error() -> None:
    (change,) = changes([gate("slo"), canary()], [gate("new"), canary()]).values()
    assert change.what is What.RENAMED
    assert [effect.level for effect in change.effects if effect.at is not None] == [Level.ERROR]


def test_a_gate_and_what_names_it_may_be_renamed_together() -> None:
    new = canary(gates=[{"name": "new"}])
    assert levels([gate("slo"), canary()], [gate("new"), new], "QualityGate new") == {Level.INFO}


def test_the_gates_that_ask_a_source_are_told() -> None:
    source = manifest("MetricSource", {"prometheus": {"address": "http://a:9090"}}, "prometheus")
    moved = edited(source, "spec.prometheus.address", "http://b:9090")
    assert said([gate(), source], [gate(), moved], "MetricSource prometheus") == ["is asked by QualityGate slo"]
    assert levels([gate(), source], [gate()], "MetricSource prometheus") == {Level.WARNING}


# -- runs, and anything -----------------------------------------------------------------------------------------------


def test_a_run_cannot_be_changed_but_cancelled() -> None:
    run = manifest("PipelineRun", {"pipeline": {"name": "flights"}}, "r")
    assert said([run], [edited(run, "spec.cancel", True)], "PipelineRun r") == [
        "the run is cancelled; its finally steps run"
    ]
    (effect,) = changes([run], [edited(run, "spec.pipeline.name", "b")])["PipelineRun r"].effects
    assert (effect.level, effect.message.split(":")[0]) == (Level.ERROR, "spec.pipeline")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
PLACES = [
    ("DataPipeline flights", "spec"),
    ("DataPipeline flights", "spec.steps"),
    ("DataPipeline flights", "spec.schedule"),
    ("DataPipeline flights", "metadata.labels"),
    ("Canary pricing", "spec"),
    ("Canary pricing", "spec.target"),
    ("Canary pricing", "spec.canary.steps"),
    ("QualityGate slo", "spec.checks"),
    ("Deployment pricing", "spec"),
    ("Deployment pricing", "spec.template"),
    ("Deployment pricing", "spec.template.metadata"),
    ("Deployment pricing", "spec.template.metadata.annotations"),
    ("ConfigMap rates", "data"),
]


@settings(max_examples=200, deadline=None)
@given(where=st.sampled_from(PLACES), value=JSON.filter(lambda value: value is not None), flipped=st.booleans())
def test_no_value_in_any_place_breaks_the_comparison(where: tuple[str, str], value: Any, flipped: bool) -> None:
    cn = canary(configs=[{"kind": "ConfigMap", "name": "rates"}])
    good = [gated(), cn, gate(), deployment(), config(a="1")]
    name, path = where
    bad = [edited(one, path, value) if f"{one['kind']} {one['metadata']['name']}" == name else one for one in good]
    trees = (tree(*bad), tree(*good)) if flipped else (tree(*good), tree(*bad))
    for change in compare(*trees, NOW):
        assert json.dumps([effect.message for effect in change.effects])
