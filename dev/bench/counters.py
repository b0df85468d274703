"""Counters read from outside: the operator's metrics, through the API server's proxy, and the API server's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from sluice.kube.client import KubeClient
from sluice.kube.resources import PODS

OPERATOR_NAMESPACE = "sluice-system"
_OPERATOR_PODS = "app.kubernetes.io/name=sluice"

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Scrape:
    """All samples of one page of metrics: {(name, labels): value}."""

    samples: Mapping[tuple[str, Labels], float]

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.samples.items() if found == name and wanted <= set(has))

    def since(self, earlier: Scrape) -> Scrape:
        """How much everything has grown."""
        return Scrape({key: value - earlier.samples.get(key, 0.0) for key, value in self.samples.items()})

    def by(self, name: str, *labels: str) -> Counter[tuple[str, ...]]:
        """Sums of the samples of this name, by the values of these labels; without what is 0."""
        sums: Counter[tuple[str, ...]] = Counter()
        for (found, has), value in self.samples.items():
            if found == name and value:
                values = dict(has)
                sums[tuple(values.get(label, "") for label in labels)] += int(value)
        return sums

    def quantile(self, name: str, share: float) -> float:
        """A quantile of a histogram, by the upper bound of its bucket: the true one is not larger."""
        rows = [
            (float(dict(has)["le"]), value) for (found, has), value in self.samples.items() if found == f"{name}_bucket"
        ]
        rows.sort()
        count = rows[-1][1] if rows else 0.0
        return next((bound for bound, below in rows if count and below >= share * count), float("nan"))


def parse(text: str, *, only: str = "") -> Scrape:
    """Samples of a page in the Prometheus text format; `only` those whose name begins so (a page may be long)."""
    if only:
        text = "\n".join(line for line in text.splitlines() if line.startswith(only)) + "\n"
    return Scrape(
        {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    )


async def operator_pod(client: KubeClient) -> str:
    """The name of the operator's pod. Raises LookupError."""
    found = await client.list(PODS, OPERATOR_NAMESPACE, label_selector=_OPERATOR_PODS)
    names = [pod["metadata"]["name"] for pod in found.items if "deletionTimestamp" not in pod["metadata"]]
    if len(names) != 1:
        raise LookupError(f"expected one pod of the operator in {OPERATOR_NAMESPACE}, found {len(names)}")
    return str(names[0])


async def operator(client: KubeClient) -> Scrape:
    """The operator's metrics."""
    pod = await operator_pod(client)
    path = f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{pod}:8080/proxy/metrics"
    return parse((await client.get_raw(path)).decode())


async def api_server(client: KubeClient) -> Scrape:
    """The API server's count of requests."""
    return parse((await client.get_raw("/metrics", timeout=30)).decode(), only="apiserver_request_total")
