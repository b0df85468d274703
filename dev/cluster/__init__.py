"""A real Kubernetes cluster for development and tests, on any machine: `python3 -m dev.cluster up`.

Standard library only, so that it runs before any virtual environment exists. What is tried, in this order:

1. `given.py`: the cluster of the kubeconfig in SLUICE_KUBECONFIG. Never started, stopped or changed beyond what is
   installed in it.
2. `kind.py`: kind, where a Docker engine and an image registry answer.
3. `local.py`: Kubernetes' own programs, built once from Go modules, as processes of this machine with Debian's
   containerd.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (this may be the first Python that comes by)
    sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}")
