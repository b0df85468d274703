from pathlib import Path

import pytest

from dev.cluster.errors import ClusterError
from dev.cluster.settings import Settings


def test_the_cache_follows_the_usual_variables() -> None:
    assert Settings.from_environment({"XDG_CACHE_HOME": "/x"}).cache == Path("/x/sluice")
    assert Settings.from_environment({"XDG_CACHE_HOME": "/x", "SLUICE_CACHE": "/y"}).cache == Path("/y")


def test_a_given_kubeconfig_is_the_one_that_is_used() -> None:
    assert Settings.from_environment({"SLUICE_KUBECONFIG": "/k"}).kubeconfig == Path("/k")
    assert Settings.from_environment({"SLUICE_CLUSTER_DIR": "/c"}).kubeconfig == Path("/c/kubeconfig")


def test_one_port_is_overridden_by_its_variable() -> None:
    ports = Settings.from_environment({"SLUICE_PORT_ETCD": "1234"}).ports
    assert (ports.etcd, ports.apiserver) == (1234, 26443)


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("SLUICE_PORT_ETCD", "many", "SLUICE_PORT_ETCD='many' is not a port"),
        ("SLUICE_PORT_ETCD", "70000", "is not a port"),
        ("SLUICE_CLUSTER_DIR", "/" + "x" * 61, "longer than 60 bytes"),
        ("SLUICE_CLUSTER_PROVIDER", "cloud", "it is kind or local"),
    ],
)
def test_what_cannot_work_is_refused(variable: str, value: str, complaint: str) -> None:
    with pytest.raises(ClusterError, match=complaint):
        Settings.from_environment({variable: value})


def test_beside_a_given_cluster_nothing_of_ours_is_touched() -> None:
    ours = Settings.from_environment({"SLUICE_CLUSTER_DIR": "/c"})
    beside = Settings.from_environment({"SLUICE_CLUSTER_DIR": "/c", "SLUICE_KUBECONFIG": "/k"})
    assert beside.cluster != ours.cluster
