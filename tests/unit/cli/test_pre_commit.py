"""The hook for pre-commit: what its file says is what runs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
GOOD = """\
apiVersion: sluice.dev/v1alpha1
kind: DataPipeline
metadata: {name: flights}
spec: {steps: [{name: extract, image: acme/flights}]}
"""


def hook() -> dict[str, Any]:
    (one,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    return dict(one)


@pytest.mark.parametrize(("text", "code"), [(GOOD, 0), (GOOD.replace("image:", "picture:"), 1)])
def test_the_hook_judges_the_folder(tmp_path: Path, text: str, code: int) -> None:
    (tmp_path / "flights.yaml").write_text(text)
    program, *arguments = [*hook()["entry"].split(), *hook()["args"]]
    assert program == "sluice"
    command = [sys.executable, "-m", "sluice.cli.main", *arguments]
    environment = {"PYTHONPATH": str(ROOT / "operator")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr


def test_the_program_that_the_hook_starts_is_one_that_is_installed() -> None:
    import tomllib

    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert hook()["entry"].split()[0] in scripts
    assert hook()["language"] == "python"
    assert not hook()["pass_filenames"]
