"""Every reason that sluice writes into a condition, a step's status, an Event or a metric. CamelCase, stable, a closed set."""

from enum import StrEnum


class Reason(StrEnum):
    """Why something is as it is. Users match on these words, so they are part of the API."""

    # Pipelines
    AS_SPECIFIED = "AsSpecified"
    INVALID_SPEC = "InvalidSpec"
    SUSPENDED = "Suspended"
    INTERVAL_SKIPPED = "IntervalSkipped"
    LAST_RUN_FAILED = "LastRunFailed"

    # Runs
    QUEUED = "Queued"
    RUNNING = "Running"
    FINALIZING = "Finalizing"
    SUCCEEDED = "Succeeded"
    STEPS_FAILED = "StepsFailed"
    FINALLY_FAILED = "FinallyFailed"
    CANCELLED = "Cancelled"
    CONCURRENCY_FORBIDDEN = "ConcurrencyForbidden"
    RUN_TIMED_OUT = "RunTimedOut"
    FINALLY_TIMED_OUT = "FinallyTimedOut"
    QUEUE_TIMED_OUT = "QueueTimedOut"
    PIPELINE_NOT_FOUND = "PipelineNotFound"
    REVISION_NOT_FOUND = "RevisionNotFound"
    INVALID_PARAMS = "InvalidParams"

    # Steps
    COMPLETED = "Completed"
    EXIT_CODE = "ExitCode"
    OOM_KILLED = "OOMKilled"
    STEP_TIMED_OUT = "StepTimedOut"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_CONFIG_ERROR = "ContainerConfigError"
    PENDING_TIMED_OUT = "PendingTimedOut"
    EVICTED = "Evicted"
    PREEMPTED = "Preempted"
    NODE_LOST = "NodeLost"
    POD_LOST = "PodLost"
    POD_REJECTED = "PodRejected"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_FAILED = "PodFailed"
    OUTPUT_TOO_LARGE = "OutputTooLarge"
    OUTPUT_INVALID = "OutputInvalid"
    OUTPUT_MISSING = "OutputMissing"
    UPSTREAM_FAILED = "UpstreamFailed"
    RETRYING = "Retrying"
    NAME_TAKEN = "NameTaken"

    # Gates
    GATE_FAILED = "GateFailed"
    GATE_HOLDING = "GateHolding"
    GATE_UNDECIDED = "GateUndecided"
    GATE_NOT_FOUND = "GateNotFound"
    GATE_WARNED = "GateWarned"
    NOT_EVALUATED = "NotEvaluated"

    # Metric sources
    ACCEPTED = "Accepted"
    ANSWERS = "Answers"
    NO_ANSWER = "NoAnswer"
    CREDENTIALS_UNREADABLE = "CredentialsUnreadable"


class CanaryReason(StrEnum):
    """Why a canary is as it is."""

    # At rest
    PROMOTED = "Promoted"
    TARGET_NOT_FOUND = "TargetNotFound"
    TARGET_NOT_READY = "TargetNotReady"
    TARGET_ADOPTED = "TargetAdopted"
    INVALID_SPEC = "InvalidSpec"
    STABLE = "Stable"
    DELETED = "Deleted"

    # On the way up
    NEW_REVISION = "NewRevision"
    HOLDING_TARGET = "HoldingTarget"
    DEPENDENCY_NOT_STABLE = "DependencyNotStable"
    AWAITING_SLOT = "AwaitingSlot"
    ROUTE_NOT_READY = "RouteNotReady"
    HOOK_RUNNING = "HookRunning"
    CANDIDATE_STARTING = "CandidateStarting"
    CANDIDATE_READY = "CandidateReady"
    ANALYSING = "Analysing"
    NO_EVIDENCE = "NoEvidence"
    STEP_PASSED = "StepPassed"
    STEP_SKIPPED = "StepSkipped"
    AWAITING_APPROVAL = "AwaitingApproval"
    APPROVED = "Approved"
    PROMOTING = "Promoting"
    SWITCHED = "Switched"
    WATCH_PASSED = "WatchPassed"
    KEPT_LONG_ENOUGH = "KeptLongEnough"
    ROLLED_OUT = "RolledOut"
    PAUSED = "Paused"
    PROMOTED_BY_REQUEST = "PromotedByRequest"

    # On the way down
    GATE_FAILED = "GateFailed"
    HOOK_FAILED = "HookFailed"
    ABORTED = "Aborted"
    CANDIDATE_NOT_READY = "CandidateNotReady"
    CANDIDATE_LOST = "CandidateLost"
    ROLLED_BACK = "RolledBack"
    ROLLBACK_SLOW = "RollbackSlow"
    STABLE_NOT_READY = "StableNotReady"
    FAILED_BEFORE = "FailedBefore"
    REVISION_CHANGED = "RevisionChanged"
    PLAN_CHANGED = "PlanChanged"
    REVERTED = "Reverted"
    RETRIED = "Retried"
    HOLD_BROKEN = "HoldBroken"
    PROMOTION_SLOW = "PromotionSlow"
    CONTROL_REFUSED = "ControlRefused"
    HOOK_REPORTED_FAILURE = "HookReportedFailure"
