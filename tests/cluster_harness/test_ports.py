import os
import socket
import sys
from dataclasses import fields, replace

import pytest

from dev.cluster import ports
from dev.cluster.errors import ClusterError
from dev.cluster.settings import Ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_port_that_is_taken_is_told_with_its_holder_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        wanted = replace(_free(), kubelet=server.getsockname()[1])
        with pytest.raises(ClusterError, match=rf"\(kubelet\) is held by process {os.getpid()} .*SLUICE_PORT_KUBELET"):
            ports.require_free(wanted, ours=())


def test_a_port_that_our_own_process_holds_is_no_complaint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ports.require_free(replace(_free(), kubelet=server.getsockname()[1]), ours=[os.getpid()])


def _free() -> Ports:
    """Ports that nobody listens on: below the ephemeral ones, and no service's."""
    return Ports(*range(3, 3 + len(fields(Ports))))
