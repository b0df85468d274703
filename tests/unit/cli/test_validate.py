"""`sluice validate`: the findings with their lines, the verdict, the exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sluice.cli.checking import Report, Source, check_sources
from sluice.cli.main import app

ROOT = Path(__file__).resolve().parents[3]

PIPELINE = """\
apiVersion: sluice.dev/v1alpha1
kind: DataPipeline
metadata:
  name: flights
spec:
  params:
    - {name: carrier, default: ALL}
    - {name: rows, type: integer}
  steps:
    - name: extract
      image: acme/flights:1
      args:
        - --carrier=$(params.carrier)
        - --day=$(interval.start.date)
    - name: clean
      image: acme/flights:1
      dependsOn: [extract]
"""
RUN = """\
apiVersion: sluice.dev/v1alpha1
kind: PipelineRun
metadata: {name: flights-1}
spec:
  pipeline: {name: flights}
  params:
    rows: 5
"""


def check(*texts: str, named: bool = True) -> Report:
    return check_sources([Source(f"{chr(97 + index)}.yaml", text, named) for index, text in enumerate(texts)])


def findings(*texts: str) -> list[str]:
    return [str(finding) for finding in check(*texts).findings]


def test_valid_objects_have_no_findings() -> None:
    report = check(PIPELINE, RUN)
    assert report.findings == ()
    assert report.verdict() == "2 objects in 2 files: 2 valid, 0 invalid"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "$(params.carrier)",
            "$(params.carier)",
            'a.yaml:13: spec.steps[0].args[0]: Not found: "$(params.carier)": no such parameter; '
            'allowed: carrier, rows; did you mean "carrier"?',
        ),
        (
            "dependsOn: [extract]",
            "dependsOn:\n        - extract\n        - extrakt",
            'a.yaml:19: spec.steps[1].dependsOn[1]: Not found: "extrakt": no such step; '
            'allowed: extract; did you mean "extract"?',
        ),
        ("      image: acme/flights:1\n      args", "      args", "a.yaml:10: spec.steps[0].image: Required value"),
        (
            "    - name: clean\n",
            "    - name: Clean\n",
            'a.yaml:15: spec.steps[1].name: Invalid value: "Clean": must be lower-case letters, digits and -, '
            'at most 40 characters, not "Clean"',
        ),
        (
            "    - name: clean\n",
            "    - name: extract\n",
            'a.yaml:15: spec.steps[1]: Duplicate value: {"name":"extract"}',
        ),
        (
            "dependsOn: [extract]",
            "dependson: [extract]",
            'a.yaml:17: strict decoding error: unknown field "spec.steps[1].dependson"',
        ),
        (
            "dependsOn: [extract]",
            "retry: {limit: many}",
            'a.yaml:17: spec.steps[1].retry.limit: Invalid value: "string": spec.steps[1].retry.limit in body must be '
            'of type integer: "string"',
        ),
        (
            "dependsOn: [extract]",
            "timeouts:\n        step: 5 minutes",
            'a.yaml:18: spec.steps[1].timeouts.step: Invalid value: "5 minutes": must be a duration such as 30s, 15m '
            'or 1h30m, not "5 minutes"',
        ),
        ("sluice.dev/v1alpha1", "sluice.dev/v2", "a.yaml:1: apiVersion: Unsupported value"),
        ("sluice.dev/v1alpha1", "sluce.dev/v1alpha1", "a.yaml:1: apiVersion: Unsupported value"),
        ("apiVersion: sluice.dev/v1alpha1\n", "", "a.yaml:1: apiVersion: Unsupported value: null"),
        (
            "kind: DataPipeline",
            "kind: DataPipline",
            'a.yaml:2: kind: Unsupported value: "DataPipline": supported values: "DataPipeline", "PipelineRun", '
            '"QualityGate", "Canary", "MetricSource", "ClusterMetricSource"; did you mean "DataPipeline"?',
        ),
        ("kind: DataPipeline\n", "", "a.yaml:1: kind: Required value"),
        ("  name: flights\n", "  labels: {a: b}\n", "a.yaml:3: metadata.name: Required value"),
        ("spec:\n", "specs:\n", 'a.yaml:5: strict decoding error: unknown field "specs"'),
        (
            "{name: carrier, default: ALL}",
            "{name: carrier, default: 5}",
            "a.yaml:7: spec.params[0].default: Invalid value: 5: must be a string",
        ),
        (
            "  steps:\n",
            "  schedule:\n    cron:\n      - 0 6 * *\n    timeZone: Asia/Kolkatta\n  steps:\n",
            'a.yaml:11: spec.schedule.cron[0]: Invalid value: "0 6 * *": must have five fields',
        ),
        (
            "  steps:\n",
            "  schedule: {cron: [0 6 * * *],\n             timeZone: Asia/Kolkatta}\n  steps:\n",
            'a.yaml:10: spec.schedule.timeZone: Not found: "Asia/Kolkatta"',
        ),
        (
            "      image: acme/flights:1\n      args",
            "      image: acme/flights:1\n      image: acme/flights:2\n      args",
            'a.yaml:12: duplicate field "spec.steps[0].image": it stands in line 11 too, and only the last would count',
        ),
        ("    - name: clean", "\t- name: clean", "a.yaml:15: a tab in the indentation; YAML takes spaces only"),
        ("  name: flights", "  name: {{ .Release.Name }}", "a.yaml:4: is a template, not YAML; render it first"),
    ],
)
def test_a_finding_stands_at_its_line(old: str, new: str, expected: str) -> None:
    assert old in PIPELINE
    found = findings(PIPELINE.replace(old, new, 1))
    assert any(line.startswith(expected) for line in found), found


def test_a_cycle_stands_at_the_list_that_closes_it() -> None:
    text = PIPELINE.replace("    - name: extract\n", "    - name: extract\n      dependsOn:\n        - clean\n")
    assert findings(text) == [
        'a.yaml:11: spec.steps[0].dependsOn: Invalid value: ["clean"]: makes a cycle: extract -> clean -> extract; '
        "a step must not depend on itself through others"
    ]


def test_all_findings_of_an_object_come_in_the_order_of_their_lines() -> None:
    text = PIPELINE.replace("[extract]", "[extrakt]").replace("params.carrier)", "params.x)")
    assert [finding.line for finding in check(text).findings] == [13, 17]
    assert check(text).verdict() == "1 object in 1 file: 0 valid, 1 invalid"


def test_the_parameters_of_a_run_are_judged_by_its_pipeline() -> None:
    assert findings(PIPELINE, RUN.replace("rows: 5", "rows: many")) == [
        'b.yaml:7: spec.params.rows: Invalid value: "many": must be an integer'
    ]
    assert findings(PIPELINE, RUN.replace("rows: 5", "rows: 5\n    row: 6")) == [
        'b.yaml:8: spec.params.row: Not found: "row": the pipeline has these parameters: carrier, rows'
    ]
    missing = "spec.params.rows: Required value: an integer without a default"
    assert findings(PIPELINE, RUN.replace("rows: 5", "carrier: AA")) == [f"b.yaml:6: {missing}"]
    assert findings(PIPELINE, RUN.split("  params")[0]) == [f"b.yaml:4: {missing}"]


def test_the_pipeline_may_come_after_the_run_and_in_the_same_file() -> None:
    assert findings(RUN.replace("rows: 5", "rows: many") + "---\n" + PIPELINE) == [
        'a.yaml:7: spec.params.rows: Invalid value: "many": must be an integer'
    ]


@pytest.mark.parametrize(
    "pipeline",
    [
        "",
        PIPELINE.replace("name: flights", "name: other"),
        PIPELINE.replace("name: flights", "namespace: b\n  name: flights"),
        "apiVersion: other.dev/v1\nkind: DataPipeline\nmetadata: {name: flights}\nspec: {}\n",
    ],
)
def test_a_run_whose_pipeline_is_not_there_is_judged_alone(pipeline: str) -> None:
    assert findings(pipeline, RUN.replace("rows: 5", "x: 1")) == []


def test_a_run_of_an_invalid_pipeline_is_judged_alone() -> None:
    found = check(PIPELINE.replace("steps:", "stages:"), RUN.replace("rows: 5", "x: 1"))
    assert [finding.file for finding in found.findings] == ["a.yaml"]
    assert found.verdict() == "2 objects in 2 files: 1 valid, 1 invalid"


def test_two_pipelines_of_one_name_are_an_error() -> None:
    assert findings(PIPELINE, PIPELINE) == ['b.yaml:4: metadata.name: Duplicate value: "flights": also in a.yaml:4']
    assert findings(PIPELINE, PIPELINE.replace("name: flights", "name: flights\n  namespace: b")) == []


def test_the_items_of_a_list_are_objects() -> None:
    items = "".join("  " + line + "\n" if line else "\n" for line in PIPELINE.replace("[extract]", "[x]").splitlines())
    text = f"apiVersion: v1\nkind: List\nitems:\n- {items[2:]}- apiVersion: v1\n  kind: ConfigMap\n"
    report = check(text)
    assert [finding.line for finding in report.findings] == [20]
    assert report.findings[0].message.startswith('spec.steps[1].dependsOn[0]: Not found: "x"')
    assert report.objects == 1


def test_json_is_checked_as_well() -> None:
    manifest = json.dumps(
        {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "DataPipeline",
            "metadata": {"name": "x"},
            "spec": {"steps": [{"name": "a", "image": "b", "retries": 3}]},
        },
        indent="\t",
    )
    assert findings(manifest) == ['a.yaml:12: strict decoding error: unknown field "spec.steps[0].retries"']


@pytest.mark.parametrize(
    "other",
    [
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
        "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {name: x}\n",
        "replicas: 3\n",
        "a: 1\na: 2\n",
        "kind: [1]\napiVersion: {}\n",
    ],
)
def test_objects_of_others_are_counted_and_not_judged(other: str) -> None:
    report = check(other)
    assert report.findings == ()
    assert report.verdict() == "0 objects in 1 file: none of sluice.dev, 1 other object not checked"


def test_files_without_any_object_are_counted() -> None:
    assert check("", "# nothing\n---\n").verdict() == "0 objects in 2 files: none of sluice.dev"


@pytest.mark.parametrize(
    ("text", "what"), [("- a\n- b\n", "list"), ("hello\n", "single value"), ("3\n", "single value")]
)
def test_a_document_that_is_no_mapping_is_unreadable(text: str, what: str) -> None:
    assert findings(text) == [f"a.yaml:1: a document must be a mapping (apiVersion, kind, ...), not a {what}"]


def test_what_a_folder_holds_beside_is_not_judged() -> None:
    report = check("- hosts: all\n", "{{ if }}\nkind: Deployment\n", PIPELINE, named=False)
    assert report.findings == ()
    assert report.passed_over == ("b.yaml",)


def test_what_a_folder_holds_of_us_is_judged_even_when_it_is_no_yaml() -> None:
    report = check("{{ if }}\n" + PIPELINE, named=False)
    assert [str(finding).split(";")[0] for finding in report.findings] == ["a.yaml:1: is a template, not YAML"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    where=st.sampled_from(
        [
            "kind",
            "metadata",
            "metadata.name",
            "spec",
            "spec.params",
            "spec.params.0",
            "spec.schedule",
            "spec.steps",
            "spec.steps.0",
            "spec.steps.0.args",
            "spec.steps.0.name",
            "spec.steps.1.dependsOn",
        ]
    ),
    value=JSON,
)
def test_no_value_in_any_place_breaks_the_check(where: str, value: object) -> None:
    import yaml

    manifest = yaml.safe_load(PIPELINE)
    *path, last = where.split(".")
    place = manifest
    for part in path:
        place = place[int(part) if part.isdigit() else part]
    place[int(last) if last.isdigit() else last] = value
    for finding in check(json.dumps(manifest), RUN).findings:
        assert finding.line >= 1


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab:- \n\t{}[]&*<\"'#!|>%1.", max_size=40))
def test_no_text_breaks_the_check(text: str) -> None:
    for finding in check(text, f"{PIPELINE}---\n{text}").findings:
        assert finding.line >= 1


# -- the command ------------------------------------------------------------------------------------------------------

runner = CliRunner()


def run(*arguments: str, stdin: str | None = None) -> tuple[int, str]:
    result = runner.invoke(app, ["validate", *arguments], input=stdin)
    return result.exit_code, result.stdout


def test_valid_files_end_with_0(tmp_path: Path) -> None:
    (tmp_path / "sub" / ".hidden").mkdir(parents=True)
    (tmp_path / "a.yaml").write_text(PIPELINE)
    (tmp_path / "sub" / "b.yml").write_text(RUN)
    (tmp_path / "sub" / "c.txt").write_text("not: [looked at")
    (tmp_path / "sub" / ".hidden" / "d.yaml").write_text(PIPELINE)
    assert run(str(tmp_path)) == (0, "2 objects in 2 files: 2 valid, 0 invalid\n")


def test_a_file_that_is_given_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(PIPELINE)
    assert run(str(tmp_path), str(tmp_path / "a.yaml")) == (0, "1 object in 1 file: 1 valid, 0 invalid\n")


def test_invalid_files_end_with_1_and_name_the_file_and_the_line(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(PIPELINE.replace("dependsOn", "dependson"))
    code, output = run(str(file))
    assert code == 1
    assert output.splitlines() == [
        f'{file}:17: strict decoding error: unknown field "spec.steps[1].dependson"',
        "1 object in 1 file: 0 valid, 1 invalid",
    ]


def test_stdin_is_a_dash() -> None:
    code, output = run("-", stdin=PIPELINE.replace("dependsOn", "dependson"))
    assert (code, output.splitlines()[0].split(" ")[0]) == (1, "<stdin>:17:")


def test_what_cannot_be_read_ends_with_2_and_the_rest_is_checked_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(PIPELINE)
    (tmp_path / "b.yaml").write_bytes(b"a: 1\nb: \xff sluice.dev/v1alpha1\n")
    (tmp_path / "empty").mkdir()
    result = runner.invoke(app, ["validate", str(tmp_path), str(tmp_path / "c.yaml"), str(tmp_path / "empty")])
    assert result.exit_code == 2
    assert result.stdout == "1 object in 1 file: 1 valid, 0 invalid\n"
    assert result.stderr.splitlines() == [
        f"error: {tmp_path}/b.yaml:2: not UTF-8 text",
        f"error: {tmp_path}/c.yaml: No such file or directory",
        f"error: {tmp_path}/empty: no *.yaml, *.yml or *.json files in this folder",
    ]


def test_the_answer_in_json(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(PIPELINE.replace("dependsOn", "dependson"))
    code, output = run("-o", "json", str(file))
    assert code == 1
    assert json.loads(output) == {
        "valid": False,
        "files": 1,
        "objects": 1,
        "invalid": 1,
        "others": 0,
        "unreadable": 0,
        "findings": [
            {
                "file": str(file),
                "line": 17,
                "message": 'strict decoding error: unknown field "spec.steps[1].dependson"',
                "kind": "DataPipeline",
                "name": "flights",
                "field": "spec.steps[1].dependson",
            }
        ],
        "errors": [],
    }


def test_the_examples_are_valid() -> None:
    code, output = run(str(ROOT / "examples"))
    assert code == 0, output


def test_validate_does_not_wait_for_the_kubernetes_client(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(PIPELINE)
    program = (
        "import sys; from sluice.cli.main import app\n"
        f"app(['validate', {str(tmp_path)!r}], standalone_mode=False)\n"
        "print([name for name in ('kubernetes', 'aiohttp', 'kopf', 'structlog') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "operator", capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"
