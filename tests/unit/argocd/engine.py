"""Argo CD's own Lua engine with the generated argocd-cm.yaml, and the scripts beside it as modules."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "argocd"))  # where `python argocd/generate.py` finds its own
CASES = importlib.import_module("cases")
GENERATE = importlib.import_module("generate")

Object = dict[str, Any]


class Engine:
    """The program argocd-lua, one process for all questions. Use as a context manager."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [program, GENERATE.CONFIG_MAP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)

    def ask(self, questions: Iterable[Object]) -> list[Object]:
        """An answer for each question, in their order."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        answers = []
        for question in questions:
            self._process.stdin.write(json.dumps(question) + "\n")
            line = self._process.stdout.readline()
            assert line, "the engine has ended; it says why on standard error"
            answers.append(json.loads(line))
        return answers

    def health(self, item: Object) -> tuple[str, str]:
        """Health and message of one object."""
        (found,) = self.ask([{"object": item}])
        assert "error" not in found, found
        return found["health"]["status"], found["health"].get("message", "")

    def enabled(self, item: Object) -> set[str]:
        """The actions that are not greyed out."""
        (found,) = self.ask([{"object": item, "discover": True}])
        assert "error" not in found, found
        return {row["name"] for row in found["actions"] if not row.get("disabled")}

    def run(self, item: Object, action: str) -> tuple[str, Object]:
        """What an action does: `patch` or `create`, and the object. Fails when it refuses."""
        (found,) = self.ask([{"object": item, "action": action}])
        assert "error" not in found, found
        (change,) = found["changes"]
        return change["operation"], change["object"]

    def refusal(self, item: Object, action: str) -> str:
        """Why an action is not done. Fails when it is."""
        (found,) = self.ask([{"object": item, "action": action}])
        assert "changes" not in found, found
        return str(found["error"])
