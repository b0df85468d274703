"""What the models of all kinds share: the base classes, field types with their rules, and the standard condition.

A rule that can be stated about a single field is stated here once, as CEL, and ends up in the CRD. The API server and
`sluice validate` (through `sluice.api.schema`) both evaluate that same text, so they cannot disagree.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PlainSerializer
from pydantic.alias_generators import to_camel

from sluice.api.durations import DURATION_PATTERN

Json = JsonValue
"""A JSON value."""


def without_nulls(value: Json) -> Json:
    """`value` without the members of objects that are null: neither a merge patch nor the API server keeps those."""
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


class Model(BaseModel):
    """A part of a spec: camelCase outside, frozen, and an unknown field is an error."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def to_dict(self) -> dict[str, Any]:
        """The object as it is sent to the API server: camelCase, JSON values, fields that are not set left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(Model):
    """A part of a status. Fields of a newer operator are passed over, so that a downgrade can read what it finds."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    def as_read(self) -> dict[str, Any]:
        """The object as it was read: what was not there is left out, even where a default stands in for it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


def validations(*rules: tuple[str, str]) -> dict[str, Any]:
    """JSON schema extension with CEL rules. Each is (rule, message); a message that holds `self` is a CEL expression."""
    rows: list[dict[str, str]] = []
    for cel, message in rules:
        if "+ self" in message:
            rows.append({"rule": cel, "messageExpression": message, "message": message.split("'")[1].split(", not")[0]})
        else:
            rows.append({"rule": cel, "message": message})
    return {"x-kubernetes-validations": rows}


def matching(pattern: str, what: str) -> dict[str, Any]:
    """A CEL rule on a string: all of it matches `pattern`, else the message says `what` is allowed and the value."""
    escaped = pattern.replace("\\", "\\\\").replace("'", "\\'")
    return validations((f"self.matches('{escaped}')", f"'{what}, not \"' + self + '\"'"))


def list_map(*keys: str) -> dict[str, Any]:
    """Marks a list of named things: the API server refuses two items with the same `keys` (default: name) and merges by
    them."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys) or ["name"]}


OPAQUE: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}
"""A value whose shape Kubernetes itself checks when the pod is created."""

_DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_DNS_SUBDOMAIN = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_IDENTIFIER = "^[A-Za-z_][A-Za-z0-9_]*$"
_IMAGE = (
    "^([a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]+)?/)?[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*"
    "(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@sha256:[a-f0-9]+)?$"
)
_QUANTITY = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)

Duration = Annotated[
    str,
    Field(max_length=32, json_schema_extra=matching(DURATION_PATTERN, "must be a duration such as 30s, 15m or 1h30m")),
]
DnsLabel = Annotated[
    str,
    Field(max_length=63, json_schema_extra=matching(_DNS_LABEL, "must be lower-case letters, digits and -")),
]
DnsSubdomain = Annotated[
    str,
    Field(max_length=253, json_schema_extra=matching(_DNS_SUBDOMAIN, "must be lower-case letters, digits, - and .")),
]
Identifier = Annotated[
    str,
    Field(
        max_length=63,
        json_schema_extra=matching(_IDENTIFIER, "must be letters, digits and _, and not begin with a digit"),
    ),
]
Image = Annotated[
    str,
    Field(
        max_length=512,
        json_schema_extra=matching(_IMAGE, "must be an image such as ghcr.io/acme/flights:1.4.2 or name@sha256:digest"),
    ),
]
Quantity = Annotated[
    int | str,
    Field(json_schema_extra={"x-kubernetes-int-or-string": True, "pattern": _QUANTITY}),
]


def _aware(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def _rfc3339(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


Time = Annotated[AwareDatetime, BeforeValidator(_aware), PlainSerializer(_rfc3339, return_type=str, when_used="json")]
"""A moment, written as RFC 3339 in UTC, with milliseconds where it has them."""


class ObjectName(Model):
    """A reference to an object in the same namespace."""

    name: DnsSubdomain = Field(description="Name of the object.")


ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(StatusModel):
    """A standard Kubernetes condition, so that kstatus and Argo CD read it."""

    type: str = Field(description="What the condition is about, for instance Ready.", max_length=316)
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(description="One CamelCase word: why it is so.", max_length=1024)
    message: str = Field(default="", description="The same for people.", max_length=32768)
    last_transition_time: Time = Field(description="When `status` last changed.")
    observed_generation: int | None = Field(default=None, description="The generation of the spec that was judged.")


def set_conditions(
    old: tuple[Condition, ...],
    wanted: Mapping[str, tuple[ConditionStatus, str, str]],
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """`old` brought to `wanted` ({type: (status, reason, message)}); the time moves only where the status does."""
    known = {condition.type: condition for condition in old}
    result = []
    for kind, (status, reason, message) in wanted.items():
        before = known.get(kind)
        since = before.last_transition_time if before is not None and before.status == status else now
        result.append(
            Condition(
                type=kind,
                status=status,
                reason=reason,
                message=message,
                last_transition_time=since,
                observed_generation=generation,
            )
        )
    return tuple(result)
