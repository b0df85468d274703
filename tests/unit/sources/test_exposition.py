"""Reading Prometheus' text format: only the lines that matter, and these exactly."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.sources.base import BadAnswer
from sluice.sources.exposition import Sample, holding, samples, single

NEEDLE = holding("service", ["web-http-[0-9]+@kubernetesgateway"])
WEB = 'service="web-http-80@kubernetesgateway"'
LABELS = {"service": "web-http-80@kubernetesgateway"}


def read(page: str, *names: str) -> list[Sample]:
    return list(samples(page.encode(), names or ("n", "m"), NEEDLE))


@pytest.mark.parametrize(
    ("page", "found"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param(f"n{{{WEB}}} 3\n", [Sample("n", LABELS, 3)], id="one line"),
        pytest.param(f"n{{{WEB}}} 3", [Sample("n", LABELS, 3)], id="no line break at the end"),
        pytest.param(f"n{{{WEB}}} 3 1395066363000\n", [Sample("n", LABELS, 3)], id="with a time"),
        pytest.param(f"n{{{WEB},}} 3\n", [Sample("n", LABELS, 3)], id="a comma behind the last label"),
        pytest.param(f"n{{{WEB}}} 1.5e+03\n", [Sample("n", LABELS, 1500)], id="an exponent"),
        pytest.param(f"n{{{WEB}}} +Inf\n", [Sample("n", LABELS, math.inf)], id="infinite"),
        pytest.param(f"nn{{{WEB}}} 3\nan{{{WEB}}} 3\n# n{{{WEB}}} 3\n", [], id="other series, and comments"),
        pytest.param('n{service="webb-http-80@kubernetesgateway"} 3\n', [], id="another service"),
        pytest.param('n{service="my-web-http-80@kubernetesgateway"} 3\n', [], id="a service that ends alike"),
        pytest.param('n{service="web-http-80@kubernetesgateway-2"} 3\n', [], id="a service that begins alike"),
        pytest.param(
            f'n{{a="x\\\\y\\"z\\n{{}} 1",{WEB}}} 3\n',
            [Sample("n", {"a": 'x\\y"z\n{} 1', **LABELS}, 3)],
            id="escapes, braces and blanks in a label",
        ),
        pytest.param(
            f"n{{{WEB}}} 3\nm{{{WEB}}} 4\n", [Sample("n", LABELS, 3), Sample("m", LABELS, 4)], id="two series"
        ),
        pytest.param(
            f'n{{exported_{WEB},service="traefik"}} 3\n',
            [Sample("n", {"exported_service": LABELS["service"], "service": "traefik"}, 3)],
            id="the text in another label: that is for the reader to see",
        ),
    ],
)
def test_lines_are_read(page: str, found: list[Sample]) -> None:
    assert read(page) == found


def test_nan_is_read_as_it_stands() -> None:
    (sample,) = read(f"n{{{WEB}}} NaN\n")
    assert math.isnan(sample.value)


@pytest.mark.parametrize(
    "line", [f"n{{{WEB}}}", f"n{{{WEB}}} many", f"n{{{WEB} 3", f'n{{{WEB},b="}} 3', f"n{{1={WEB}}} 3", f"n{{{WEB};}} 3"]
)
def test_a_broken_line_that_matters_is_a_bad_answer(line: str) -> None:
    with pytest.raises(BadAnswer, match="a line of n"):
        read(f"{line}\n")


def test_a_broken_line_that_does_not_matter_is_passed_over() -> None:
    assert read(f"?{{{{{{\nn{{{WEB}}} 3\n\x00\n") == [Sample("n", LABELS, 3)]


def written(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


@given(st.dictionaries(st.from_regex(r"\A[a-r][a-z_]{0,5}\Z"), st.text(), max_size=4), st.floats(allow_nan=False))
def test_what_is_written_is_read_back(labels: dict[str, str], value: float) -> None:
    row = ",".join([*(f'{name}="{written(text)}"' for name, text in labels.items()), WEB])
    assert read(f"# HELP n x\nn{{{row}}} {value!r}\nother 1\n") == [Sample("n", {**labels, **LABELS}, value)]


@pytest.mark.parametrize(
    ("page", "value"),
    [
        ("n 3\n", 3.0),
        ("a 1\nn 1.7e+09\nb 2", 1.7e9),
        ("a 1\n", None),
        ("", None),
        ("mn 3\n", None),
        ("n many\n", None),
        ("a 1\nn \n", None),
        ("nn 3\n", None),
    ],
)
def test_a_series_without_labels_is_found(page: str, value: float | None) -> None:
    assert single(page.encode(), "n") == value
