"""References: what is one, what it becomes, what stays Kubernetes' own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.base import Json
from sluice.planning.references import (
    Reference,
    UnresolvedReference,
    as_text,
    fields_of,
    outputs_used,
    references,
    substitute,
)
from tests.builders import step

VALUES: dict[str, Json] = {
    "params.carrier": "AA",
    "params.limit": 5,
    "params.tags": ["a", {"b": None}],
    "params.evil": "$(HOME) $$ $(params.carrier) $",
    "steps.extract.outputs.uri": "s3://raw",
    "run.name": "flights-1",
    "params.empty": "",
}


def kubernetes_expands(text: str, variables: dict[str, str]) -> str:
    """What the kubelet makes of an argument (k8s.io/kubernetes/third_party/forked/golang/expansion)."""
    result, at = "", 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            result, at = result + text[at], at + 1
        elif text[at + 1] == "$":
            result, at = result + "$", at + 2
        elif text[at + 1] == "(" and ")" in text[at:]:
            end = text.index(")", at)
            name = text[at + 2 : end]
            result, at = result + variables.get(name, f"$({name})"), end + 1
        else:
            result, at = result + text[at : at + 2], at + 2
    return result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        pytest.param("--carrier=$(params.carrier)!", "--carrier=AA!", id="a string goes in as it is"),
        pytest.param("$(params.limit)", "5", id="a number goes in as JSON"),
        pytest.param("$(params.tags)", '["a",{"b":null}]', id="a list goes in as JSON"),
        pytest.param("$( params.carrier )", "$( params.carrier )", id="a blank before the word makes it no reference"),
        pytest.param("$(params.carrier )", "AA", id="a blank behind the word does not matter"),
        pytest.param("$(params.empty)", "", id="an empty value is a value"),
        pytest.param("$(params.empty ?? x)", "", id="an empty value beats the default"),
        pytest.param("$(params.carrier)$(params.limit)", "AA5", id="two references side by side"),
        pytest.param("$(HOME)/$(X_1)", "$(HOME)/$(X_1)", id="a variable of the container is left alone"),
        pytest.param("$(paramsX)", "$(paramsX)", id="a variable that begins like a word is left alone"),
        pytest.param("$$(params.carrier)", "$$(params.carrier)", id="an escaped reference is left alone"),
        pytest.param("$$$(params.carrier)", "$$AA", id="an escaped dollar before a reference"),
        pytest.param("cost: 5$", "cost: 5$", id="a dollar at the end"),
        pytest.param("$(params.carrier", "$(params.carrier", id="an open reference is left alone"),
        pytest.param("$(params.nobody ?? )", "", id="an empty default"),
        pytest.param("$(params.nobody ?? a ?? b)", "a ?? b", id="the first ?? begins the default"),
        pytest.param("$(params.nobody??x)", "x", id="a default without blanks"),
        pytest.param("$(params.nobody ?? 5$)", "5$$", id="a dollar in a default is escaped"),
        pytest.param("$(params.evil)", "$$(HOME) $$$$ $$(params.carrier) $$", id="dollars in a value are escaped"),
    ],
)
def test_references_are_replaced(text: str, result: str) -> None:
    assert substitute(text, VALUES) == result


def test_a_value_reaches_the_container_as_it_is() -> None:
    made = substitute("$(params.evil)", VALUES)
    assert kubernetes_expands(made, {"HOME": "/root", "params.carrier": "x"}) == VALUES["params.evil"]


@given(value=st.text(alphabet="$()HOME. params", max_size=30), tail=st.sampled_from(["", "x", "(HOME)", "$(HOME)"]))
def test_no_value_is_ever_expanded_again(value: str, tail: str) -> None:
    made = substitute(f"-$(params.v){tail}", {"params.v": value})
    assert kubernetes_expands(made, {"HOME": "/root"}) == f"-{value}{tail.replace('$(HOME)', '/root')}"


def test_a_reference_without_value_and_default_says_so() -> None:
    with pytest.raises(UnresolvedReference) as caught:
        substitute("--in=$(steps.clean.outputs.uri)", VALUES)
    assert str(caught.value) == "$(steps.clean.outputs.uri) has no value and no default"
    assert caught.value.reference.output == ("clean", "uri")


def test_references_are_found_in_order_with_their_parts() -> None:
    text = "$(params.a) $(HOME) $$(params.b) $(steps.x.outputs.k ?? none) $(steps.x.phase) $(run.outcome)"
    found = list(references(text))
    assert [str(reference) for reference in found] == [
        "$(params.a)",
        "$(steps.x.outputs.k)",
        "$(steps.x.phase)",
        "$(run.outcome)",
    ]
    assert found[0] == Reference("params.a")
    assert found[0].param == "a"
    assert (found[1].output, found[1].default) == (("x", "k"), "none")
    assert (found[2].state_of, found[2].output, found[2].param) == ("x", None, None)


def test_references_are_looked_for_in_command_arguments_and_environment() -> None:
    row = step(
        "s",
        command=["c0"],
        args=["a0", "a1"],
        env=[{"name": "A", "value": "e0"}, {"name": "B", "valueFrom": {"fieldRef": {}}}, {"name": "C", "value": ""}],
    )
    assert list(fields_of(row)) == [
        ("command[0]", "c0"),
        ("args[0]", "a0"),
        ("args[1]", "a1"),
        ("env[0].value", "e0"),
        ("env[2].value", ""),
    ]


def test_outputs_used_by_any_step() -> None:
    steps = (
        step("a"),
        step("b", "a", args=["$(steps.a.outputs.x)$(steps.a.outputs.y ?? 1)"]),
        step("c", "b", env=[{"name": "Z", "value": "$(steps.b.outputs.z) $(steps.a.phase)"}]),
    )
    assert outputs_used(steps) == {"a": {"x", "y"}, "b": {"z"}}


@pytest.mark.parametrize(
    ("value", "text"),
    [("a b", "a b"), (True, "true"), (None, "null"), (1.5, "1.5"), ("é", "é"), ({"é": [1]}, '{"é":[1]}')],
)
def test_values_as_text(value: Json, text: str) -> None:
    assert as_text(value) == text
