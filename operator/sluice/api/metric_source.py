"""MetricSource and ClusterMetricSource: where metrics come from. Exactly one of the fields that name a back end is given.

Credentials are never in the spec: they are read from a Secret at the time of each look.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from sluice.api.base import Condition, DnsSubdomain, Duration, Model, StatusModel, list_map, matching, validations

Address = Annotated[
    str,
    Field(
        max_length=2048,
        json_schema_extra=matching(
            "^https?://[^/?#@ ]+(/[^?# ]*)?$", "must be http://HOST or https://HOST, with no user in it"
        ),
    ),
]


class SecretKey(Model):
    """One key of a Secret. A MetricSource reads Secrets of its own namespace, a ClusterMetricSource those it names."""

    name: DnsSubdomain = Field(description="Name of the Secret.")
    key: str = Field(min_length=1, max_length=253, description="Key in it.")
    namespace: str | None = Field(
        default=None, max_length=63, description="With a ClusterMetricSource: the namespace of the Secret."
    )


class BasicAuth(Model):
    """User name and password."""

    username: SecretKey = Field(description="Where the user name is.")
    password: SecretKey = Field(description="Where the password is.")


class Tls(Model):
    """How the server is known."""

    ca: SecretKey | None = Field(default=None, description="Certificate authorities in PEM. Default: the system's.")
    server_name: str | None = Field(default=None, max_length=253, description="Name in its certificate.")
    insecure_skip_verify: bool | None = Field(default=None, description="True: any certificate will do. For tests.")


ProxyName = Literal["Traefik"]


class Prometheus(Model):
    """Prometheus, or what speaks its HTTP API: Thanos, Mimir, VictoriaMetrics, Cortex."""

    address: Address = Field(description="Base URL, without /api/v1.")
    headers: dict[str, str] = Field(default={}, description="Headers without secrets, for instance X-Scope-OrgID.")
    proxy: ProxyName | None = Field(
        default=None,
        description="The proxy whose series it has, from which `requests` of a check is answered. Traefik is the only value.",
    )


class HttpJson(Model):
    """Any HTTP endpoint that answers with JSON. The query of a check is the path, with its parameters."""

    address: Address = Field(description="Base URL; the query is put after it.")
    value: str = Field(
        min_length=1,
        max_length=1024,
        description="CEL expression over `body` that yields a number, or a list of numbers.",
    )
    time: str | None = Field(
        default=None, max_length=1024, description="CEL expression over `body`: RFC 3339 text or seconds since 1970."
    )


class Datadog(Model):
    """Datadog's query API, version 1."""

    address: Address | None = Field(default=None, description="Default: https://api.datadoghq.com.")
    api_key: SecretKey = Field(description="Where the API key is.")
    application_key: SecretKey = Field(description="Where the application key is.")


class InfluxDB(Model):
    """InfluxDB 2 and its Flux language."""

    address: Address = Field(description="Base URL.")
    organization: str = Field(min_length=1, max_length=255, description="Name or id of the organization.")


class Graphite(Model):
    """Graphite's render API."""

    address: Address = Field(description="Base URL.")


class NewRelic(Model):
    """New Relic's NerdGraph API; queries are NRQL."""

    address: Address | None = Field(default=None, description="Default: https://api.newrelic.com.")
    account: int = Field(ge=1, description="Number of the account.")
    api_key: SecretKey = Field(description="Where the user key is.")


class CloudWatch(Model):
    """Amazon CloudWatch's GetMetricData; the query of a check is a list of MetricDataQueries in JSON."""

    region: str = Field(min_length=1, max_length=32, description="Region, for instance ap-south-1.")
    address: Address | None = Field(default=None, description="Default: the region's endpoint.")
    access_key_id: SecretKey = Field(description="Where the access key's id is.")
    secret_access_key: SecretKey = Field(description="Where the secret access key is.")


class Proxy(Model):
    """A proxy's own metrics, scraped by the operator at each look. Answers `requests` of a check, and no query."""

    kind: ProxyName = Field(description="Which proxy. Traefik is the only value.")
    addresses: list[Address] = Field(
        min_length=1,
        max_length=16,
        description="URLs of its metrics. A host name with several addresses is scraped at each of them, and all are "
        "summed: with several replicas that of a headless Service.",
    )


BACKENDS = ("prometheus", "http", "datadog", "influxdb", "graphite", "new_relic", "cloud_watch", "proxy")
"""The fields of which exactly one is given."""

_ONE = " + ".join(
    f"(has(self.{name}) ? 1 : 0)"
    for name in ("prometheus", "http", "datadog", "influxdb", "graphite", "newRelic", "cloudWatch", "proxy")
)


class MetricSourceSpec(Model):
    """What the user wants: exactly one back end, and how it is reached."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            (
                f"{_ONE} == 1",
                "exactly one of prometheus, http, datadog, influxdb, graphite, newRelic, cloudWatch, proxy is needed",
            ),
            ("!(has(self.bearer) && has(self.basic))", "bearer and basic are both given: only one can be sent"),
        )
    )

    prometheus: Prometheus | None = Field(default=None, description="Prometheus.")
    http: HttpJson | None = Field(default=None, description="HTTP and JSON.")
    datadog: Datadog | None = Field(default=None, description="Datadog.")
    influxdb: InfluxDB | None = Field(default=None, description="InfluxDB 2.")
    graphite: Graphite | None = Field(default=None, description="Graphite.")
    new_relic: NewRelic | None = Field(default=None, description="New Relic.")
    cloud_watch: CloudWatch | None = Field(default=None, description="Amazon CloudWatch.")
    proxy: Proxy | None = Field(default=None, description="The metrics of a proxy itself.")
    bearer: SecretKey | None = Field(default=None, description="Bearer token.")
    basic: BasicAuth | None = Field(default=None, description="User name and password.")
    tls: Tls | None = Field(default=None, description="How the server is known.")
    timeout: Duration | None = Field(default=None, description="For one query, at most 60s. Default: 10s.")
    max_bytes: int | None = Field(
        default=None,
        ge=1024,
        le=16_777_216,
        description="Greatest answer that is read. Default: 1048576, of a proxy 8388608.",
    )


class MetricSourceStatus(StatusModel):
    """Whether the source answers."""

    observed_generation: int | None = Field(default=None, description="Generation of the spec that was looked at.")
    conditions: tuple[Condition, ...] = Field(default=(), description="Ready.", json_schema_extra=list_map("type"))


class MetricSource(Model):
    """Where metrics come from, for the gates of one namespace."""

    spec: MetricSourceSpec
    status: MetricSourceStatus | None = None


class ClusterMetricSource(Model):
    """Where metrics come from, for gates in all namespaces."""

    spec: MetricSourceSpec
    status: MetricSourceStatus | None = None
