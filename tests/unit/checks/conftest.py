"""What the tests of data checks share: tables as files, and gates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sluice.api.gate import QualityGateSpec


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[[str, str], str]:
    """Writes what a query returns to a Parquet file: its path."""

    def write(name: str, sql: str) -> str:
        path = f"{tmp_path}/{name}.parquet"
        duckdb.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")
        return path

    return write


@pytest.fixture
def gate() -> Callable[..., QualityGateSpec]:
    """A gate of these checks, named c0, c1 and so on where they have no name."""

    def make(*checks: dict[str, Any], **spec: Any) -> QualityGateSpec:
        rows = [{"name": f"c{number}", **check} for number, check in enumerate(checks)]
        return QualityGateSpec.model_validate({"checks": rows, **spec})

    return make
