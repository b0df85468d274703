"""Parameters and the other values of a run arrive in the container byte for byte."""

import json

from tests.cluster.kit import Manifest, Namespace, pipeline, shell, steps_of

HEX = "hex() { printf %s \"$1\" | od -An -v -tx1 | tr -d ' \\n'; }; "
"""A shell function that prints the bytes of its argument."""

NASTY = {
    "variable": "$(HOME)",
    "our_variable": "$(SLUICE_RUN)",
    "our_reference": "$(params.plain) $(run.name)",
    "dollars": "$$ $ $$$ $$(HOME)",
    "shell": "${HOME} `id` $(id)",
    "quotes": 'it\'s "quoted" \\ \\n',
    "lines": "one\ntwo\ttabbed\r\nthree",
    "spaces": "  in front and behind  ",
    "letters": "\u00e9 \u65e5\u672c \U0001f600",
    "yaml": "{a: [1, 2]} # no: comment",
    "empty": "",
    "plain": "plain",
}


def hex_of(value: str) -> str:
    return value.encode().hex()


def test_values_arrive_byte_for_byte(namespace: Namespace) -> None:
    script = (
        HEX
        + """
        printf '{"args": "' > $SLUICE_OUTPUTS
        for value in "$@"; do hex "$value" >> $SLUICE_OUTPUTS; printf , >> $SLUICE_OUTPUTS; done
        printf '", "env": "' >> $SLUICE_OUTPUTS
        for name in NAMES; do eval hex '"$'$name'"' >> $SLUICE_OUTPUTS; printf , >> $SLUICE_OUTPUTS; done
        printf '"}' >> $SLUICE_OUTPUTS
    """
    )
    step = shell(
        "main",
        script.replace("NAMES", " ".join(NASTY)),
        args=["sh", *(f"$(params.{name})" for name in NASTY)],
        env=[{"name": name, "value": f"$(params.{name})"} for name in NASTY],
    )
    namespace.apply(pipeline("nasty", step, params=[{"name": name} for name in NASTY]))
    status = namespace.ended(namespace.run("nasty", params=NASTY))
    outputs = steps_of(status)["main"]["outputs"]
    expected = dict(zip(NASTY, map(hex_of, NASTY.values()), strict=True))
    assert dict(zip(NASTY, outputs["args"].split(","), strict=False)) == expected
    assert dict(zip(NASTY, outputs["env"].split(","), strict=False)) == expected
    assert status["params"] == NASTY


def test_a_parameter_has_its_default_until_a_run_gives_it(namespace: Namespace) -> None:
    script = """printf '{"seen": "%s"}' "$*" > $SLUICE_OUTPUTS"""
    namespace.apply(
        pipeline(
            "defaults",
            shell("main", script, args=["sh", "$(params.carrier)", "$(params.days)"]),
            params=[
                {"name": "carrier", "enum": ["AA", "UA"], "default": "AA"},
                {"name": "days", "type": "integer", "default": 7},
            ],
        )
    )
    namespace.run("defaults", "plain")
    namespace.run("defaults", "given", params={"carrier": "UA"})
    plain, given = namespace.ended("plain"), namespace.ended("given")
    assert steps_of(plain)["main"]["outputs"] == {"seen": "AA 7"}
    assert steps_of(given)["main"]["outputs"] == {"seen": "UA 7"}
    assert given["params"] == {"carrier": "UA", "days": 7}


def test_values_of_every_type_are_written_as_json(namespace: Namespace) -> None:
    values: Manifest = {
        "text": "a b",
        "whole": 3,
        "minus": -4,
        "part": 0.25,
        "yes": True,
        "no": False,
        "items": [1, "two", None, {"three": 3}],
        "object": {"a": {"b": [True]}, "z": "\u00e9"},
    }
    types = {
        "text": "string",
        "whole": "integer",
        "minus": "integer",
        "part": "number",
        "yes": "boolean",
        "no": "boolean",
    }
    declared = [{"name": n, "type": types.get(n, {"items": "array", "object": "object"}.get(n))} for n in values]
    script = "; ".join(f"echo '$(params.{name})'" for name in values)
    namespace.apply(pipeline("types", shell("main", script), params=declared))
    status = namespace.ended(namespace.run("types", params=values))
    printed = namespace.kubectl("logs", steps_of(status)["main"]["pod"]).stdout.splitlines()
    assert printed[0] == "a b"
    assert [json.loads(line) for line in printed[1:]] == list(values.values())[1:]
    assert status["params"] == values


def test_a_step_knows_its_run_and_its_interval(namespace: Namespace) -> None:
    names = ["run.name", "run.namespace", "run.uid", "run.pipeline", "run.revision"]
    names += ["interval.start", "interval.end", "interval.start.date", "interval.end.date"]
    script = "; ".join([*(f"echo '$({name})'" for name in names), "echo $SLUICE_RUN $SLUICE_STEP $SLUICE_ATTEMPT"])
    namespace.apply(
        pipeline("facts", shell("main", script), schedule={"cron": ["0 0 1 1 *"], "timeZone": "Asia/Kolkata"})
    )
    interval = {"start": "2026-01-01T18:29:59Z", "end": "2026-01-02T18:30:00Z"}
    status = namespace.ended(namespace.run("facts", interval=interval))
    printed = namespace.kubectl("logs", steps_of(status)["main"]["pod"]).stdout.splitlines()
    uid = namespace.get("pipelinerun", "facts-run")["metadata"]["uid"]
    assert printed == [
        "facts-run",
        namespace.name,
        uid,
        "facts",
        status["revision"],
        "2026-01-01T18:29:59Z",
        "2026-01-02T18:30:00Z",
        "2026-01-01",
        "2026-01-03",
        "facts-run main 1",
    ]
