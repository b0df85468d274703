"""Text to values with lines. What scalars mean was read off `kubectl create --dry-run=client -o json`."""

import pytest

from sluice.cli.documents import Document, read_documents


def only(text: str) -> Document:
    documents = list(read_documents(text))
    assert len(documents) == 1
    return documents[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True),
        ("n", False),
        ("yes", True),
        ("on", True),
        ("Off", False),
        ("TRUE", True),
        ("1:30", "1:30"),
        ("12:30:45", "12:30:45"),
        ("0o17", 15),
        ("0777", 511),
        ("1_000", 1000),
        ("1e3", 1000),
        ("1.5e3", 1500),
        (".5", 0.5),
        ("+.5", 0.5),
        ("0x1F", 31),
        ("0b11", 3),
        ("~", None),
        ("Null", None),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("+12", 12),
        ("-12", -12),
        ("-0", 0),
        ("1.", 1),
        ("08", 8),
        ("0.1_0", 0.1),
        ("=", "="),
        ("1.4.2", "1.4.2"),
        ("-", "-"),
        ('"yes"', "yes"),
        ("'1'", "1"),
        ("!!str 12", "12"),
        ('!!int "3"', 3),
        ("!foo b", "b"),
    ],
)
def test_a_scalar_means_what_it_means_to_kubectl(text: str, value: object) -> None:
    if text == "-":
        text = '"-"'
    found = only(f"a: {text}\n").value
    assert found == {"a": value}
    assert isinstance(found, dict)
    assert type(found["a"]) is type(value)


def test_integers_too_large_for_json_become_numbers() -> None:
    assert only("a: 123456789012345678901\n").value == {"a": 123456789012345678901.0}


def test_every_field_knows_its_line() -> None:
    document = only(
        "apiVersion: v1\n"
        "spec:\n"
        "  steps:\n"
        "    # a comment\n"
        "    - name: one\n"
        "      args:\n"
        "        - a\n"
        "        -\n"
        "          b\n"
        "      env: [{name: X,\n"
        "             value: y}]\n"
        "    - {name: two}\n"
    )
    expected = {
        "apiVersion": 1,
        "spec": 2,
        "spec.steps": 3,
        "spec.steps[0]": 5,
        "spec.steps[0].name": 5,
        "spec.steps[0].args": 6,
        "spec.steps[0].args[0]": 7,
        "spec.steps[0].args[1]": 9,
        "spec.steps[0].env": 10,
        "spec.steps[0].env[0].value": 11,
        "spec.steps[1]": 12,
    }
    assert {path: document.line_of(path) for path in expected} == expected


def test_a_missing_field_stands_where_its_parent_does() -> None:
    document = only("a: 1\nspec:\n  steps:\n    - x: 1\n    - y: 2\n")
    assert document.line_of("spec.steps[1].image") == 5
    assert document.line_of("spec.steps[7].image") == 3
    assert document.line_of("spec.schedule.cron[0]") == 2
    assert document.line_of("status") == 1
    assert document.line_of("") == 1


def test_keys_with_dots_have_lines() -> None:
    document = only("metadata:\n  labels:\n    a: b\n    app.kubernetes.io/name: x\n")
    assert document.line_of("metadata.labels.app.kubernetes.io/name") == 4


def test_lines_go_on_through_the_documents_of_a_file() -> None:
    documents = list(read_documents("# first\na: 1\n---\n\nb:\n  c: 2\n--- # third\nd: 3\n"))
    assert [document.value for document in documents] == [{"a": 1}, {"b": {"c": 2}}, {"d": 3}]
    assert [document.line for document in documents] == [2, 5, 8]
    assert documents[1].line_of("b.c") == 6


def test_an_error_in_one_document_does_not_hide_the_others() -> None:
    first, second, third = read_documents("a: 1\n---\nb: [1\n---\nc: 3\n")
    assert (first.value, third.value) == ({"a": 1}, {"c": 3})
    assert not second.readable


def test_dashes_inside_a_text_open_no_document() -> None:
    assert only("a: |\n  ---\n  b\nc: ----\n").value == {"a": "---\nb\n", "c": "----"}


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "---\n# nothing\n---\n", "\n---\n...\n"])
def test_empty_documents_are_passed_over(text: str) -> None:
    assert list(read_documents(text)) == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 'duplicate field "a": it stands in line 1 too'),
        ("spec:\n  x: {p: 1, p: 2}\n", 2, 'duplicate field "spec.x.p"'),
        ('"1": a\n1: b\n', 2, 'duplicate field "1"'),
    ],
)
def test_a_duplicate_key_is_a_problem(text: str, line: int, words: str) -> None:
    document = only(text)
    assert [problem.line for problem in document.problems] == [line]
    assert words in document.problems[0].message
    assert document.readable


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\n\tb: 2\n", 2, "a tab in the indentation; YAML takes spaces only"),
        ("a:\n\t- 2\n", 2, "a tab in the indentation"),
        ("a: b: c\n", 1, "not YAML: mapping values are not allowed"),
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "not YAML"),
        ('a: 1\nb: "x\n', 3, "not YAML: found unexpected end of stream"),
        ("a: @x\n", 1, "not YAML: found character"),
        ("a: *x\n", 1, "not YAML: found undefined alias"),
        ("a:\n  - 1\n b: 2\n", 3, "not YAML"),
        ("a: 1\nb: &x [1, *x]\n", 2, "an anchor that contains itself"),
        ("a: 1\n? {b: 1}\n: 2\n", 2, "a key must be a string"),
        ("a: 1\n~: 2\n", 2, "a key must be a string, not null"),
        ("a: .inf\n", 1, ".inf cannot be written in JSON"),
        ("a: 1\nb: 1e999\n", 2, "1e999 is too large"),
        ("a: 1\nb: \x01\n", 2, "unacceptable character"),
        ("a: 1\n<<: 3\n", 2, "<< takes a mapping"),
        ('{"a": 1,\n "b": }}\n', 2, "neither JSON nor YAML"),
        ("[" * 5000 + "]" * 5000, 1, "nested too deeply"),
    ],
)
def test_text_that_is_no_yaml(text: str, line: int, words: str) -> None:
    document = only(text)
    assert not document.readable
    assert len(document.problems) == 1
    assert (document.problems[0].line, words in document.problems[0].message) == (line, True), document.problems[0]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{{- if .Values.on }}\nkind: DataPipeline\n{{- end }}\n", 1),
        ("kind: DataPipeline\nmetadata:\n  name: {{ .Release.Name }}\n", 3),
        ('kind: DataPipeline\nmetadata:\n  labels:\n    {{- include "labels" . | nindent 4 }}\n', 4),
        ("spec:\n  steps:\n    - {{ .Values.step }}\n", 3),
        ("{% if x %}\na: b\n{% endif %}\n", 1),
    ],
)
def test_a_template_is_called_one(text: str, line: int) -> None:
    document = only(text)
    assert not document.readable
    assert [problem.line for problem in document.problems] == [line]
    assert "is a template, not YAML; render it first" in document.problems[0].message


def test_braces_in_a_string_make_no_template() -> None:
    assert only('a: "{{ ds }}"\nb: x {{ y }}\n').value == {"a": "{{ ds }}", "b": "x {{ y }}"}


def test_anchors_are_followed_and_their_lines_are_where_they_are_written() -> None:
    document = only("base: &base\n  image: a\n  args: [p]\nstep:\n  <<: *base\n  args: [q]\nother: *base\n")
    assert document.value == {
        "base": {"image": "a", "args": ["p"]},
        "step": {"image": "a", "args": ["q"]},
        "other": {"image": "a", "args": ["p"]},
    }
    assert document.line_of("step.image") == 2
    assert document.line_of("step.args") == 6
    assert document.line_of("other.args[0]") == 3


def test_a_billion_laughs_end_soon() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    document = only("\n".join(lines))
    assert "aliases written out" in document.problems[0].message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1,\n "b": {"c": [true, null]}}', {"a": 1, "b": {"c": [True, None]}}),
        ('{\n\t"a":\t1,\n\t"b": [\n\t\t2]\n}', {"a": 1, "b": [2]}),
        ('{"a": "yes", "b": "\\/"}', {"a": "yes", "b": "/"}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        ("{a: b}", {"a": "b"}),
    ],
)
def test_json(text: str, value: object) -> None:
    assert only(text).value == value


def test_json_knows_its_lines_and_duplicates() -> None:
    document = only('{\n\t"a": {\n\t\t"b": 1,\n\t\t"b": 2\n\t}\n}')
    assert document.line_of("a.b") == 4
    assert [problem.line for problem in document.problems] == [4]


def test_a_part_is_a_document_of_its_own() -> None:
    document = only("items:\n  - a: 1\n  - b:\n      c: 2\n      c: 3\n")
    part = document.part("items[1]", {"b": {"c": 3}})
    assert (part.line, part.line_of("b"), part.line_of("b.c"), part.line_of("x")) == (3, 3, 5, 3)
    assert [problem.path for problem in part.problems] == ["b.c"]
    assert document.part("items[0]", {"a": 1}).problems == ()
