import pytest

from dev.cluster.dockerfile import inputs
from dev.cluster.errors import ClusterError

TEXT = """
# COPY commented .
ARG BASE=python
FROM ${BASE} AS deps
COPY a.lock ./
RUN --mount=type=bind,source=scripts,target=/s \\
    --mount=type=cache,target=/c  make

FROM --platform=linux/amd64 ${BASE} AS app
COPY --chown=1:1 src \\
     other/ /app/
COPY --from=deps /venv /venv

FROM app AS example
COPY ["examples/one", "/e"]

FROM scratch
ADD last /
"""


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("deps", ("a.lock", "scripts")),
        ("app", ("a.lock", "other/", "scripts", "src")),
        ("example", ("a.lock", "examples/one", "other/", "scripts", "src")),
        ("3", ("last",)),
    ],
)
def test_a_target_is_made_from_what_it_and_its_stages_copy(target: str, expected: tuple[str, ...]) -> None:
    assert inputs(TEXT, target) == expected


def test_an_unknown_target_is_named_with_those_there_are() -> None:
    with pytest.raises(ClusterError, match=r"no target 'nothing': it has .*app, deps, example"):
        inputs(TEXT, "nothing")
