"""What steps hand on to steps: JSON of at most 4096 bytes, judged before anybody relies on it."""

import json

import pytest

from tests.cluster.kit import Manifest, Namespace, pipeline, shell, steps_of

OUTPUTS: Manifest = {
    "text": 'a "b" $(HOME) $$ \u00e9',
    "whole": 3,
    "big": 9007199254740993,
    "part": -0.25,
    "yes": True,
    "items": [1, [2, {"three": "3"}]],
    "object": {"a": {"b": []}},
}


def writes(text: str) -> Manifest:
    """A step `main` that leaves `text` as its outputs."""
    return shell("main", """printf %s "$TEXT" > $SLUICE_OUTPUTS""", env=[{"name": "TEXT", "value": text}])


def test_outputs_of_every_type_reach_the_next_step(namespace: Namespace) -> None:
    script = "; ".join('printf "%s\\n" "$' + name.upper() + '"' for name in OUTPUTS)
    reader = shell(
        "reader",
        script,
        dependsOn=["main"],
        env=[{"name": name.upper(), "value": f"$(steps.main.outputs.{name})"} for name in OUTPUTS],
    )
    text = json.dumps(OUTPUTS).replace("$", "$$")  # in the manifest, `$$` is Kubernetes' way to write `$`
    namespace.apply(pipeline("types", writes(text), reader))
    status = namespace.ended(namespace.run("types"))
    steps = steps_of(status)
    assert steps["main"]["outputs"] == OUTPUTS
    printed = namespace.kubectl("logs", steps["reader"]["pod"]).stdout.splitlines()
    assert printed[0] == OUTPUTS["text"]
    assert [json.loads(line) for line in printed[1:]] == list(OUTPUTS.values())[1:]


@pytest.mark.parametrize(
    ("step", "reason", "message"),
    [
        pytest.param(
            shell(
                "main",
                """{ printf '{"rows": "'; head -c 4096 /dev/zero | tr '\\000' x; printf '"}'; } > $SLUICE_OUTPUTS""",
            ),
            "OutputTooLarge",
            "outputs are larger than 4096 bytes; hand on a URI instead",
            id="more than 4096 bytes",
        ),
        pytest.param(
            writes("rows=3"),
            "OutputInvalid",
            "/dev/termination-log does not hold a JSON object: rows=3",
            id="text that is no JSON",
        ),
        pytest.param(
            writes("[3]"),
            "OutputInvalid",
            "/dev/termination-log does not hold a JSON object: [3]",
            id="JSON that is no object",
        ),
        pytest.param(
            writes('{"rows": NaN}'),
            "OutputInvalid",
            "does not hold a JSON object",
            id="a number that JSON does not know",
        ),
        pytest.param(
            writes('{"rows": "three"}'),
            "OutputInvalid",
            'output "rows" must be of type integer, not "three"',
            id="a value of another type",
        ),
        pytest.param(
            shell("main"),
            "OutputMissing",
            'the step did not write its output "rows" to /dev/termination-log',
            id="nothing at all",
        ),
        pytest.param(
            writes('{"row": 3}'), "OutputMissing", 'did not write its output "rows"', id="an output of another name"
        ),
    ],
)
def test_who_relies_on_bad_outputs_never_runs(namespace: Namespace, step: Manifest, reason: str, message: str) -> None:
    declared = {**step, "outputs": [{"name": "rows", "type": "integer"}], "retry": {"limit": 3}}
    namespace.apply(pipeline("bad", declared, shell("reader", dependsOn=["main"], args=["$(steps.main.outputs.rows)"])))
    run = namespace.run("bad")
    status = namespace.ended(run)
    main, reader = status["steps"]
    assert (main["phase"], main["reason"], main["attempt"]) == ("Failed", reason, 1)
    assert message in main["message"]
    assert "outputs" not in main
    assert (reader["phase"], reader["attempt"]) == ("UpstreamFailed", 0)
    assert len(namespace.pods(run)) == 1
    namespace.event(run, reason)


def test_outputs_of_exactly_4096_bytes_are_taken(namespace: Namespace) -> None:
    script = """{ printf '{"rows": "'; head -c 4084 /dev/zero | tr '\\000' x; printf '"}'; } > $SLUICE_OUTPUTS"""
    namespace.apply(pipeline("full", shell("main", script)))
    status = namespace.ended(namespace.run("full"))
    assert steps_of(status)["main"]["outputs"] == {"rows": "x" * 4084}


def test_an_output_that_is_null_is_none(namespace: Namespace) -> None:
    reader = shell("reader", 'test "$(steps.main.outputs.rows ?? none)" = none', dependsOn=["main"])
    namespace.apply(pipeline("null", writes('{"rows": null, "options": {"a": null, "b": 1}}'), reader))
    status = namespace.ended(namespace.run("null"))
    assert status["phase"] == "Succeeded"
    assert steps_of(status)["main"]["outputs"] == {"options": {"b": 1}}


def test_an_undeclared_output_that_is_missing_fails_who_refers_to_it(namespace: Namespace) -> None:
    namespace.apply(
        pipeline(
            "loose", writes('{"row": 3}'), shell("reader", dependsOn=["main"], args=["$(steps.main.outputs.rows)"])
        )
    )
    run = namespace.run("loose")
    steps = steps_of(namespace.ended(run))
    assert steps["main"]["phase"] == "Succeeded"
    assert (steps["reader"]["phase"], steps["reader"]["reason"]) == ("Failed", "OutputMissing")
    assert "$(steps.main.outputs.rows)" in steps["reader"]["message"]
    assert len(namespace.pods(run)) == 1


def test_defaults_stand_in_for_outputs_that_are_missing(namespace: Namespace) -> None:
    declared = {**shell("main"), "outputs": [{"name": "rows", "type": "integer", "default": 7}]}
    namespace.apply(
        pipeline(
            "defaults",
            declared,
            shell("other"),
            shell(
                "reader",
                'test "$(steps.main.outputs.rows) $(steps.other.outputs.uri ?? no uri)" = "7 no uri"',
                dependsOn=["main", "other"],
            ),
        )
    )
    assert namespace.ended(namespace.run("defaults"))["phase"] == "Succeeded"


def test_text_is_no_output_and_no_failure_where_nobody_asks_for_one(namespace: Namespace) -> None:
    namespace.apply(pipeline("free", writes("done, all is well")))
    status = namespace.ended(namespace.run("free"))
    assert status["phase"] == "Succeeded"
    assert "outputs" not in steps_of(status)["main"]


def test_a_step_that_fails_hands_nothing_on(namespace: Namespace) -> None:
    namespace.apply(pipeline("half", shell("main", "echo '{\"rows\": 3}' > $SLUICE_OUTPUTS; exit 1")))
    main = steps_of(namespace.ended(namespace.run("half")))["main"]
    assert main["reason"] == "ExitCode"
    assert "outputs" not in main
