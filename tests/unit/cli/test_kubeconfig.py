"""Where the namespace comes from."""

from pathlib import Path

import pytest

from sluice.cli.kubeconfig import Chosen, choose

ONE = """\
current-context: one
contexts:
  - {name: one, context: {cluster: c, namespace: data}}
  - {name: two, context: {cluster: c}}
"""
OTHER = """\
current-context: three
contexts:
  - {name: three, context: {namespace: prod}}
  - {name: one, context: {namespace: never}}
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "one").write_text(ONE)
    (tmp_path / "other").write_text(OTHER)


def test_the_namespace_is_that_of_the_current_context(tmp_path: Path) -> None:
    assert choose(str(tmp_path / "one"), None) == Chosen("one", "data")


def test_another_context_has_its_own(tmp_path: Path) -> None:
    assert choose(str(tmp_path / "one"), "two") == Chosen("two", "default")
    assert choose(str(tmp_path / "one"), "missing") == Chosen("missing", "default")


def test_of_several_files_the_first_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{tmp_path / 'one'}:{tmp_path / 'other'}")
    assert choose(None, None) == Chosen("one", "data")
    assert choose(None, "three") == Chosen("three", "prod")


def test_the_usual_place_is_the_home_folder(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(OTHER)
    assert choose(None, None) == Chosen("three", "prod")


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n", "contexts:\n"])
def test_a_file_that_says_nothing_leaves_the_default(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad").write_text(text)
    assert choose(str(tmp_path / "bad"), None) == Chosen("", "default")


def test_in_a_pod_there_is_no_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert choose(None, None) == Chosen("", "default")
