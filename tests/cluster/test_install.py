"""The installation itself: the CRDs as users apply them, and the operator's pod."""

import json

from tests.cluster.installation import Installation
from tests.cluster.kit import ROOT, Namespace

CRDS = ROOT / "crds"
MAX_CRD_BYTES = 100_000
"""`kubectl apply` keeps a copy in an annotation, which may have 256 KiB with all others."""


def test_the_crds_are_applied_by_plain_kubectl_and_again_without_a_change(namespace: Namespace) -> None:
    namespace.kubectl("apply", "-f", str(CRDS))
    again = namespace.kubectl("apply", "-f", str(CRDS)).stdout.splitlines()
    assert again
    assert [line for line in again if not line.endswith(" unchanged")] == []


def test_each_crd_is_small_and_served(namespace: Namespace) -> None:
    for file in CRDS.glob("*.yaml"):
        assert len(file.read_bytes()) < MAX_CRD_BYTES, file.name
    for crd in namespace.all_of("crds"):
        if crd["spec"]["group"] == "sluice.dev":
            # kstatus and Argo CD wait for this condition.
            conditions = {row["type"]: row["status"] for row in crd["status"]["conditions"]}
            assert conditions["Established"] == "True"
            assert len(json.dumps(crd["spec"], separators=(",", ":"))) < MAX_CRD_BYTES


def test_the_operators_namespace_can_insist_on_the_strictest_profile(operator: Installation) -> None:
    name = operator.namespace.name
    level = "pod-security.kubernetes.io/enforce=restricted"
    done = operator.namespace.kubectl("label", "--dry-run=server", "--overwrite", "namespace", name, level)
    assert "violate" not in done.stderr


def test_the_operator_is_nobody_and_cannot_write_where_it_runs(operator: Installation) -> None:
    user = operator.python("import os; print(os.getuid(), os.getgid())").split()
    assert "0" not in user
    script = (
        "import pathlib, sys\ntry:\n    pathlib.Path(sys.argv[0] or '/x').touch()\nexcept OSError as e:\n    print(e)"
    )
    assert "Read-only file system" in operator.python(script.replace("sys.argv[0] or '/x'", "'/usr/x'"))
    for line in operator.python("print(open('/proc/1/status').read())").splitlines():
        if line.startswith(("CapEff", "CapPrm", "CapBnd")):
            assert int(line.split()[1], 16) == 0, line
        if line.startswith("NoNewPrivs"):
            assert line.split()[1] == "1"


def test_the_log_holds_no_token(operator: Installation) -> None:
    token = operator.python("print(open('/var/run/secrets/kubernetes.io/serviceaccount/token').read())").strip()
    assert token.startswith("eyJ")
    log = operator.namespace.kubectl("logs", operator.pod()["metadata"]["name"]).stdout
    assert "caches are filled" in log
    for part in token.split("."):
        assert part not in log
    assert "PRIVATE KEY" not in log
