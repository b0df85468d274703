"""Every name that sluice gives to things in a cluster: labels, annotations, objects. One place, so that they never differ.

Generated names are deterministic: the same input gives the same name, so a second attempt to create an object meets the
first one instead of making a twin (safety rules 1 and 2).
"""

import hashlib
import re
from datetime import UTC, datetime

GROUP = "sluice.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "sluice"

LABEL_PIPELINE = "sluice.dev/pipeline"
LABEL_RUN = "sluice.dev/run"
LABEL_RUN_UID = "sluice.dev/run-uid"
LABEL_STEP = "sluice.dev/step"
LABEL_ATTEMPT = "sluice.dev/attempt"
LABEL_TRIGGER = "sluice.dev/trigger"
TRIGGER_SCHEDULE = "schedule"
LABEL_RERUN_OF = "sluice.dev/rerun-of"
"""On a run that is a rerun: the name of the run that it is one of."""
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
ANNOTATION_SPEC_HASH = "sluice.dev/spec-hash"

LABEL_CANARY = "sluice.dev/canary"
"""On the target of a Canary, with its name: admission holds back new templates of what has it."""
LABEL_CANDIDATE = "sluice.dev/candidate"
"""On the Deployment, the pods and the Service of a candidate, with the name of the Canary."""
LABEL_HOOK = "sluice.dev/hook"
"""On the Job of a hook, with the name of the hook."""
LABEL_HOOK_OF = "sluice.dev/hook-of"
"""On the Job of a hook, with the name of the Canary."""
ANNOTATION_HELD = "sluice.dev/held"
"""On a target that sluice has paused, not its user."""
HELD = "true"
ANNOTATION_REVISION = "sluice.dev/revision"
"""On a candidate: the revision that it was made of."""
ANNOTATION_CANARY_UID = "sluice.dev/canary-uid"
"""On the Deployment and the Service of a candidate: UID of the Canary that they belong to, whoever owns them."""
ANNOTATION_CONFIGS = "sluice.dev/configs"
"""On a pod template: hash of the ConfigMaps and Secrets that belong to the version."""
ANNOTATION_COMMIT = "sluice.dev/commit"
"""On a target: the whole id of the commit that it comes from."""
ANNOTATION_REPOSITORY = "sluice.dev/repository"
"""On a target: URL of the repository of that commit."""
ANNOTATION_TRACKING = "argocd.argoproj.io/tracking-id"
"""On what Argo CD applies, as APPLICATION:GROUP/KIND:NAMESPACE/NAME. Argo CD's own."""
ANNOTATION_CONTROL = "sluice.dev/control"
"""On a Canary: what somebody asks for, as ACTION or ACTION:NONCE, for instance `promote:7`."""
ANNOTATION_CONTROL_BY = "sluice.dev/control-by"
"""On a Canary: who wrote the control annotation. Admission writes it, and nobody else can."""
ANNOTATION_SUPPORTS = "sluice.dev/supports"
"""On a GatewayClass: features of Gateway API that it has without claiming them in its status, with commas between."""
FINALIZER_CANARY = "sluice.dev/canary"
"""On a Canary: what it did to routes and to its target has to be undone before it goes."""

STEP_CONTAINER = "step"
REPORT_PREFIX = "sluice-report: "
"""What stands before the report of a gate in the log of its pod."""

MAX_LABEL = 63
"""Longest label value, and longest host name of a pod, in characters."""
MAX_STEP_NAME = 40
"""Longest name of a step: the pod's name (run-step-attempt-hash, at most 63) has to keep room for the run's."""
MAX_PIPELINE_NAME = 42
"""Longest name of a DataPipeline: its run names (name-20130101t0600-hash) have to be label values."""

DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


def short_hash(*parts: str, length: int = 6) -> str:
    """A stable lower-case hash of `parts`, `length` hexadecimal digits long. ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:length]


def run_name(pipeline: str, interval_start: datetime, interval_end: datetime, revision: str) -> str:
    """The name of the one scheduled run of `pipeline` for this interval and revision (safety rule 2)."""
    start, end = (moment.astimezone(UTC) for moment in (interval_start, interval_end))
    return f"{pipeline}-{start:%Y%m%dt%H%M}-{short_hash(start.isoformat(), end.isoformat(), revision)}"


def revision_name(pipeline: str, content_hash: str) -> str:
    """The name of the ControllerRevision that holds one version of a pipeline's spec."""
    return f"{pipeline}-{content_hash}"


def pod_name(run: str, run_uid: str, step: str, attempt: int) -> str:
    """The name of the pod of one attempt of a step: at most 63 characters, unique by its hash (safety rule 1).

    The run's UID is part of the hash, so a run that was deleted and made again under the same name has pods of its own.
    """
    tail = f"-{step}-{attempt}-{short_hash(run, run_uid, step, str(attempt))}"
    head = re.sub(r"[^a-z0-9-]", "-", run)[: MAX_LABEL - len(tail)].rstrip("-")
    return f"{head}{tail}"


def candidate_name(target: str) -> str:
    """The name of the Deployment and of the Service that serve the new version of a target: at most 63 characters."""
    tail = "-candidate"
    if len(target) + len(tail) <= MAX_LABEL and re.match(DNS_LABEL, target):
        return f"{target}{tail}"
    tail = f"-{short_hash(target)}{tail}"
    return re.sub(r"[^a-z0-9-]", "-", target)[: MAX_LABEL - len(tail)].rstrip("-") + tail


def hook_job_name(canary: str, hook: str, key: str, attempt: int) -> str:
    """The name of the Job of one attempt of a canary's hook: at most 63 characters, unique by the hash of its key."""
    tail = f"-{attempt}-{short_hash(key, str(attempt), length=10)}"
    head = re.sub(r"[^a-z0-9-]", "-", f"{canary}-{hook}")[: MAX_LABEL - len(tail)].rstrip("-")
    return f"{head}{tail}"
