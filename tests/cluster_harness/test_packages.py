"""Installing a package that would start a service: nothing is started, and the machine's policy is as it was."""

from pathlib import Path

import pytest

from dev.cluster import packages
from dev.cluster.packages import METRICS, RUNTIME


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(packages, "_POLICY", tmp_path / "policy-rc.d")
    return tmp_path / "policy-rc.d"


def test_while_it_is_installed_no_service_may_start(policy: Path) -> None:
    with packages._no_new_service():
        assert policy.read_text() == "#!/bin/sh\nexit 101\n"
        assert policy.stat().st_mode & 0o111
    assert not policy.exists()


def test_a_policy_that_is_there_stays(policy: Path) -> None:
    policy.write_text("theirs")
    with packages._no_new_service():
        assert policy.read_text() == "theirs"
    assert policy.read_text() == "theirs"


def test_a_cluster_needs_no_prometheus() -> None:
    assert not set(METRICS) & set(RUNTIME)
