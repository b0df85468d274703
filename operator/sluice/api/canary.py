"""Canary: how a new version of a workload is let in. Git owns the spec; the status is in `sluice.api.canary_status`."""

from typing import Annotated, Literal

from pydantic import Field

from sluice.api.base import DnsLabel, DnsSubdomain, Duration, Model, ObjectName, list_map, matching
from sluice.api.canary_status import CanaryStatus
from sluice.api.gate import FailureLimit
from sluice.api.pod_template import Opaque, StringMap

Weight = Annotated[int, Field(ge=0, le=100)]
Text = Annotated[str, Field(min_length=1, max_length=4096)]
HeaderName = Annotated[str, Field(min_length=1, max_length=256)]
RepositoryUrl = Annotated[
    str,
    Field(
        max_length=2048,
        json_schema_extra=matching(
            "^(https?://[^/@ ]+/|ssh://[^/: ]+(:[0-9]+)?/|file:///|[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9.-]+:)[^ ]+$",
            "must be a URL such as https://HOST/PATH, with no user in it, or git@HOST:PATH",
        ),
    ),
]
BranchName = Annotated[
    str,
    Field(
        max_length=200,
        json_schema_extra=matching("^[A-Za-z0-9_][A-Za-z0-9_./-]*$", "must be the name of a branch, such as main"),
    ),
]
RepositoryPath = Annotated[
    str, Field(max_length=1024, json_schema_extra=matching("^[^/ ].*$", "must be a path within the repository"))
]
ImageName = Annotated[
    str, Field(max_length=255, json_schema_extra=matching("^[^@ ]+$", "must be the name of an image, without a tag"))
]
HookPoint = Literal["BeforeRollout", "BeforeStep", "BeforePromotion", "AfterPromotion", "OnRollback"]


class Target(Model):
    """The workload whose new versions are let in. It stays as it is in Git."""

    api_version: Literal["apps/v1"] = Field(description="apps/v1.")
    kind: Literal["Deployment"] = Field(description="Deployment.")
    name: DnsSubdomain = Field(description="Its name, in the namespace of the Canary.")


class Route(Model):
    """A route of the Gateway API that sends requests to the target's Service."""

    name: DnsSubdomain = Field(description="Name of the route.")
    kind: Literal["HTTPRoute", "GRPCRoute"] | None = Field(
        default=None, description="HTTPRoute or GRPCRoute. Default: HTTPRoute."
    )
    rule: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Name of the rule whose weights move. Default: every rule that names the target's Service.",
    )


class GatewayRouting(Model):
    """Weights of backends in routes of the Gateway API."""

    routes: list[Route] = Field(
        min_length=1, max_length=16, description="The routes. All have the same weights.", json_schema_extra=list_map()
    )


class ReplicaRouting(Model):
    """No router: the share of requests is the share of pods."""


class Routing(Model):
    """How requests are divided. Exactly one of the fields."""

    gateway_api: GatewayRouting | None = Field(
        default=None, alias="gatewayAPI", description="By the weights of Gateway API routes."
    )
    replicas: ReplicaRouting | None = Field(default=None, description="By the numbers of pods: {}.")


class GateUse(Model):
    """A QualityGate that the candidate has to pass."""

    name: DnsSubdomain = Field(description="Name of the QualityGate.")
    args: dict[str, Annotated[str, Field(max_length=1024)]] = Field(
        default={}, description="Values for $(args.NAME) in its queries."
    )


class HeaderMatch(Model):
    """Requests with a header. Exactly one of value, pattern."""

    name: HeaderName = Field(description="Name of the header; case does not matter.")
    value: Text | None = Field(default=None, description="Exactly this value.")
    pattern: Text | None = Field(
        default=None, description="A regular expression, in the gateway's own dialect of them."
    )


class CookieMatch(Model):
    """Requests with a cookie, whatever other cookies they have."""

    name: HeaderName = Field(description="Name of the cookie.")
    value: Text = Field(description="Exactly this value.")


class Match(Model):
    """Requests that are told apart. Exactly one of header, cookie."""

    header: HeaderMatch | None = Field(default=None, description="By a header.")
    cookie: CookieMatch | None = Field(default=None, description="By a cookie.")


class CanaryStep(Model):
    """One weight, for how long, and by what it is judged."""

    weight: Weight = Field(
        description="Share of the requests that the candidate gets, in percent; 0 only with mirror, or with match."
    )
    mirror: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None,
        description="Share of the requests of which the candidate gets a copy, in percent, whose answer nobody waits for. "
        "The gateway has to claim that it can. Default: none.",
    )
    hold: Duration | None = Field(
        default=None, description="How long the weight stays at least, evidence or not. Default: 1m."
    )
    gates: list[GateUse] | None = Field(
        default=None,
        max_length=16,
        description="Gates of this step. Default: spec.gates.",
        json_schema_extra=list_map(),
    )


class CanaryStrategy(Model):
    """Weights that rise step by step."""

    steps: list[CanaryStep] = Field(min_length=1, max_length=32, description="The weights, rising.")
    match: list[Match] = Field(
        default=[],
        max_length=8,
        description="Requests that go to the candidate whatever the weight, from the first step until the rollout ends: "
        "those that meet any of these. They need a route that does not match on these headers itself.",
    )
    warmup: Duration | None = Field(
        default=None, description="After each change of weight, nothing is measured for so long. Default: 0s."
    )


class BlueGreen(Model):
    """One switch from the old version to the new one, with checks before it and a watch after it."""

    preview: Route | None = Field(
        default=None, description="A route that sends all its requests to the candidate before the switch."
    )
    checks: list[GateUse] = Field(
        default=[],
        max_length=16,
        description="Gates that have to pass before the switch.",
        json_schema_extra=list_map(),
    )
    watch: Duration | None = Field(
        default=None, description="How long the gates have to hold after the switch. Default: spec.watch."
    )
    keep_old: Duration | None = Field(
        default=None, description="How long the old version is kept warm after the watch. Default: 0s."
    )


class NoEvidence(Model):
    """What happens while nothing is known. Whatever is stated, it never counts as a pass."""

    policy: Literal["Hold", "Rollback"] | None = Field(
        default=None,
        description="Hold: the weight stays, and after the limit an Event says so. Rollback: after the limit the "
        "candidate is taken out. Default: Hold.",
    )
    limit: Duration | None = Field(default=None, description="How long evidence may be missing. Default: 5m.")


class Analysis(Model):
    """How metrics are looked at, where the checks of the gates do not say it themselves."""

    interval: Duration | None = Field(default=None, description="From one look to the next. Default: 30s.")
    failure_limit: FailureLimit | None = Field(
        default=None, description="Failed looks that are borne. Default: the first failed look fails the check."
    )
    min_samples: int | None = Field(
        default=None, ge=1, le=1000, description="Conclusive looks that a pass needs at each weight. Default: 1."
    )
    on_no_evidence: NoEvidence | None = Field(default=None, description="What happens while nothing is known.")


class HttpHook(Model):
    """A POST request. 2xx is success."""

    url: Annotated[str, Field(min_length=1, max_length=2048)] = Field(description="Where to; http or https.")
    headers: StringMap = Field(default={}, description="Headers, without secrets.")
    secret: ObjectName | None = Field(
        default=None, description="Secret whose keys are further headers, for instance Authorization."
    )


class JobHook(Model):
    """A Job, for instance a load test or a smoke test. Its success is the hook's."""

    template: Opaque = Field(description="spec.template of the Job.")
    active_deadline_seconds: int | None = Field(
        default=None, ge=1, le=86400, description="When Kubernetes ends the Job. Default: the hook's timeout."
    )


class Hook(Model):
    """Something of the user's that is called at a point of the rollout, once for each idempotency key."""

    name: DnsLabel = Field(description="Name, unique in the Canary.")
    at: HookPoint = Field(
        description="BeforeRollout, BeforeStep and BeforePromotion: its failure rolls back. AfterPromotion and "
        "OnRollback: its failure is reported."
    )
    http: HttpHook | None = Field(default=None, description="A request.")
    job: JobHook | None = Field(default=None, description="A Job.")
    timeout: Duration | None = Field(default=None, description="For one attempt. Default: 30s; 10m for a Job.")
    retries: int | None = Field(default=None, ge=0, le=20, description="Attempts after the first. Default: 2.")


class Candidate(Model):
    """The pods of the new version while it is let in."""

    replicas: int | None = Field(default=None, ge=1, le=10000, description="So many. Default: as many as the target.")
    by_weight: bool | None = Field(default=None, description="True: the target's number times the weight, rounded up.")
    ceiling: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None,
        description="Highest weight that the candidate gets, for a candidate smaller than the target. Below 100 the target "
        "is rolled to the new version while it still serves the rest. Default: 100.",
    )


class Config(Model):
    """An object whose content belongs to the version: a change of it is a new revision."""

    kind: Literal["ConfigMap", "Secret"] = Field(description="ConfigMap or Secret.")
    name: DnsSubdomain = Field(description="Its name.")


class Rollback(Model):
    """The way back: how fast, and to which revisions without a new analysis."""

    deadline: Duration | None = Field(
        default=None, description="From the decision to no more traffic; later, an Event says so. Default: 30s."
    )
    window: Annotated[int, Field(ge=0, le=10)] | None = Field(
        default=None,
        description="So many revisions that were stable before are let in again without steps, gates, approval and watch: a "
        "candidate of such a revision gets all requests as soon as it is ready. Default: 0.",
    )


class Approval(Model):
    """Whether a person lets the new version in for all."""

    promotion: Literal["Automatic", "Manual"] | None = Field(
        default=None, description="Manual: the last step is followed by a wait for `promote`. Default: Automatic."
    )


class OnPromotion(Model):
    """The next environment, which gets what has been promoted here."""

    path: RepositoryPath = Field(
        description="Its folder, with a kustomization.yaml whose `images` get the promoted versions."
    )
    branch: BranchName | None = Field(default=None, description="Its branch. Default: writeBack.branch.")
    mode: Literal["Commit", "Branch"] | None = Field(
        default=None,
        description="Commit: on its branch. Branch: on a branch sluice/promote-REVISION, for a person to approve and merge. "
        "Default: Commit.",
    )
    soak: Duration | None = Field(
        default=None,
        description="How long the version has to have been the stable one, without another coming. Default: 0s.",
    )
    images: list[ImageName] = Field(
        default=[],
        max_length=32,
        description="The images that are brought on, without tag; one that the kustomization does not list is added. Default: "
        "those of the target that it lists.",
    )


class WriteBack(Model):
    """What sluice may do in Git."""

    repository: RepositoryUrl | None = Field(
        default=None,
        description="URL of the repository. One that the operator may use. Default: that of the Argo CD Application, or of the "
        "target's annotation sluice.dev/repository.",
    )
    branch: BranchName = Field(description="The branch that is deployed.")
    path: RepositoryPath | None = Field(
        default=None,
        description="Folder or file that the target is made from: a commit that changes it after the one at fault makes a revert "
        "unnecessary. Default: the path of the Argo CD Application, else the files that the commit changes.",
    )
    secret: ObjectName | None = Field(
        default=None,
        description="Secret with username and password, or ssh-privatekey and known_hosts. One that the operator may read. "
        "Default: none.",
    )
    on_rollback: Literal["None", "Revert", "RevertBranch"] = Field(
        default="None",
        description="When a gate has decided on a rollback. None: nothing. Revert: the commit is reverted on the branch. "
        "RevertBranch: on a branch sluice/revert-COMMIT, for a person to merge. Default: None.",
    )
    on_promotion: OnPromotion | None = Field(
        default=None, description="The environment that gets the version once it has been promoted here. Default: none."
    )


class CanarySpec(Model):
    """What the user wants."""

    target: Target = Field(description="The workload.")
    routing: Routing = Field(description="How requests are divided between the versions.")
    service: ObjectName | None = Field(
        default=None, description="The Service of the target. Default: the one with the target's name."
    )
    canary: CanaryStrategy | None = Field(default=None, description="Step by step. Exactly one of canary, blueGreen.")
    blue_green: BlueGreen | None = Field(default=None, description="In one switch. Exactly one of canary, blueGreen.")
    gates: list[GateUse] = Field(
        default=[], max_length=16, description="Gates of every step and of the watch.", json_schema_extra=list_map()
    )
    analysis: Analysis | None = Field(default=None, description="How metrics are looked at.")
    watch: Duration | None = Field(
        default=None,
        description="How long the gates have to hold with all requests at the candidate, while the old pods are still "
        "warm. Default: 1m.",
    )
    hooks: list[Hook] = Field(
        default=[], max_length=32, description="Calls to the user's own.", json_schema_extra=list_map()
    )
    candidate: Candidate | None = Field(default=None, description="Size of the candidate.")
    configs: list[Config] = Field(
        default=[], max_length=32, description="Objects whose content belongs to the version."
    )
    depends_on: list[ObjectName] = Field(
        default=[],
        max_length=32,
        description="Canaries that have to be stable before this one starts.",
        json_schema_extra=list_map(),
    )
    rollback: Rollback | None = Field(
        default=None, description="How fast the candidate has to be out, and what needs no new analysis."
    )
    progress_deadline: Duration | None = Field(
        default=None, description="How long the candidate may take to be ready. Default: 10m."
    )
    approval: Approval | None = Field(default=None, description="Whether a person lets it in for all.")
    write_back: WriteBack | None = Field(default=None, description="What sluice may do in Git. Default: nothing.")


class Canary(Model):
    """How a new version of a workload is let in: step by step, while gates hold, and out again when they do not."""

    spec: CanarySpec
    status: CanaryStatus | None = None
