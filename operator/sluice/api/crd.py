"""The CustomResourceDefinitions, generated from the models.

    python -m sluice.api.crd           write crds/ and the chart's copies
    python -m sluice.api.crd --check   fail when one of them is stale

pydantic's JSON schema is turned into a structural schema: references are written out, `X or null` becomes X, a constant
becomes an enum of one value, titles and defaults go (defaults are the planner's: the API server must not write into what Git owns).
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sluice.api.base import Model
from sluice.api.canary import Canary
from sluice.api.gate import QualityGate
from sluice.api.metric_source import ClusterMetricSource, MetricSource
from sluice.api.names import GROUP, MAX_LABEL, MAX_PIPELINE_NAME, VERSION
from sluice.api.pipeline import DataPipeline
from sluice.api.run import PipelineRun

MAX_CRD_BYTES = 100_000
"""`kubectl apply` keeps a copy of the object in an annotation of at most 256 KiB; this leaves room."""

Schema = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`. Priority 1 shows it only with `-o wide`."""

    name: str
    json_path: str
    description: str
    type: str = "string"
    priority: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The column as the CRD states it."""
        row: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "jsonPath": self.json_path,
            "description": self.description,
        }
        return row | ({"priority": self.priority} if self.priority else {})


@dataclass(frozen=True)
class Kind:
    """All that the API server has to know of one kind besides its fields."""

    model: type[Model]
    plural: str
    short_names: tuple[str, ...]
    max_name: int
    columns: tuple[Column, ...]
    namespaced: bool = True

    @property
    def name(self) -> str:
        """The kind, for instance DataPipeline."""
        return self.model.__name__


_AGE = Column("Age", ".metadata.creationTimestamp", "Time since creation.", "date")

_SOURCE_COLUMNS = (
    Column("Ready", ".status.conditions[?(@.type=='Ready')].status", "Whether it answers."),
    Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", "Why it is so."),
    Column("Message", ".status.conditions[?(@.type=='Ready')].message", "The same for people.", priority=1),
    _AGE,
)

KINDS = (
    Kind(
        DataPipeline,
        "datapipelines",
        ("dp", "pipeline", "pipelines"),
        MAX_PIPELINE_NAME,
        (
            Column("Schedule", ".status.schedule", "Cron lines and zone."),
            Column("Health", ".status.health", "Healthy, Failing, Suspended or Invalid."),
            Column("Last Run", ".status.lastRun.name", "The newest run."),
            Column("Result", ".status.lastRun.phase", "Its phase."),
            Column("Active", ".status.activeRuns", "Runs under way.", "integer"),
            Column("Next Run", ".status.next", "The next tick of the schedule on its own clock, or why there is none."),
            Column("Revision", ".status.revision.number", "Number of the current revision.", "integer"),
            Column("Commit", ".status.commit", "Where the revision comes from.", priority=1),
            Column("Revision Name", ".status.revision.name", "Name of the current revision.", priority=1),
            Column("Message", ".status.conditions[?(@.type=='Ready')].message", "What it says of itself.", priority=1),
            _AGE,
        ),
    ),
    Kind(
        PipelineRun,
        "pipelineruns",
        ("prun",),
        MAX_LABEL,
        (
            Column("Pipeline", ".spec.pipeline.name", "The pipeline."),
            Column("Phase", ".status.phase", "Where the run stands."),
            Column("Progress", ".status.progress", "Steps ended / steps in all."),
            Column("Interval", ".status.interval.start", "Start of the data interval."),
            Column("Duration", ".status.duration", "From start to end."),
            Column("Reason", ".status.reason", "Why it is so."),
            Column("Message", ".status.message", "The same for people.", priority=1),
            Column("Revision", ".status.revision", "What was run.", priority=1),
            Column("Rerun Of", ".spec.rerun.of", "The run that this one is a rerun of.", priority=1),
            _AGE,
        ),
    ),
    Kind(
        QualityGate,
        "qualitygates",
        ("qg", "gate", "gates"),
        MAX_LABEL,
        (
            Column("Verdict", ".status.verdict", "What it came to when it was last evaluated."),
            Column("Score", ".status.score", "0 to 100.", "number"),
            Column("Worst Check", ".status.worstCheck", "The check that decided, unless all passed."),
            Column("By", ".status.evaluatedBy", "Where it was evaluated."),
            Column("Evaluated", ".status.evaluatedAt", "When.", "date"),
            Column("Message", ".status.message", "The verdict for people.", priority=1),
            _AGE,
        ),
    ),
    Kind(
        Canary,
        "canaries",
        ("cn",),
        MAX_LABEL,
        (
            Column("Phase", ".status.phase", "Where it stands."),
            Column("Step", ".status.progress", "The step / steps in all, of the newest rollout."),
            Column("Weight", ".status.weight", "Share of the requests that the candidate gets, in percent.", "integer"),
            Column("Verdict", ".status.verdict", "What the gates come to together; at rest, what they came to."),
            Column("Reason", ".status.reason", "Why it is so."),
            Column("Message", ".status.message", "The same for people."),
            Column("Target", ".spec.target.name", "The workload.", priority=1),
            Column("Stable", ".status.stableRevision", "The revision that is trusted.", priority=1),
            Column("Candidate", ".status.candidateRevision", "The revision that is let in.", priority=1),
            Column("Commit", ".status.commit", "Where the candidate comes from, else the stable revision.", priority=1),
            _AGE,
        ),
    ),
    Kind(MetricSource, "metricsources", ("ms",), MAX_LABEL, _SOURCE_COLUMNS),
    Kind(ClusterMetricSource, "clustermetricsources", ("cms",), MAX_LABEL, _SOURCE_COLUMNS, namespaced=False),
)


def structural(model: type[Model]) -> Schema:
    """The structural schema of `model`."""
    document = model.model_json_schema(by_alias=True)
    return _inline(document, document.get("$defs", {}))


_DROPPED = ("title", "default", "$defs", "$ref", "anyOf", "additionalProperties", "properties", "items")


def _inline(node: Schema, definitions: dict[str, Schema]) -> Schema:
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[1]]
        return _inline({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    alternatives = [branch for branch in node.get("anyOf", ()) if branch != {"type": "null"}]
    if len(alternatives) == 1:
        return _inline({**alternatives[0], **{k: v for k, v in node.items() if k != "anyOf"}}, definitions)
    result = {key: value for key, value in node.items() if key not in _DROPPED}
    if "const" in result:  # a structural schema has no such word
        result["enum"] = [result.pop("const")]
    if alternatives:
        result["anyOf"] = alternatives
    if node.get("properties"):
        result["properties"] = {name: _inline(child, definitions) for name, child in node["properties"].items()}
    if isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = _inline(node["additionalProperties"], definitions)
    if "items" in node:
        result["items"] = _inline(node["items"], definitions)
    if result.get("x-kubernetes-preserve-unknown-fields") and result.get("type") is None:
        return {
            key: value
            for key, value in result.items()
            if key in ("description", "x-kubernetes-preserve-unknown-fields")
        }
    return result


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of `kind`."""
    fields = structural(kind.model)["properties"]
    schema: Schema = {
        "type": "object",
        "description": (kind.model.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": kind.max_name}}},
            **fields,
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "sluice"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": list(kind.short_names),
                "categories": ["sluice"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [column.to_dict() for column in kind.columns],
                }
            ],
        },
    }


def render(kind: Kind) -> str:
    """The CRD of `kind` as the text of its file."""
    body = yaml.safe_dump(definition(kind), sort_keys=False, width=118, allow_unicode=True)
    text = f"# Generated from the models by `make crds`. Do not edit.\n{body}"
    if len(text.encode()) > MAX_CRD_BYTES:
        raise ValueError(f"the CRD of {kind.name} has {len(text.encode())} bytes; at most {MAX_CRD_BYTES} are allowed")
    return text


def files(root: Path) -> dict[Path, str]:
    """Every generated file with its text."""
    folders = (root / "crds", root / "charts" / "sluice" / "files" / "crds")
    return {folder / f"{kind.plural}.yaml": render(kind) for kind in KINDS for folder in folders}


def main(arguments: list[str]) -> int:
    """Write the files, or with --check say which are stale. Exit code 1 when one is."""
    root = Path.cwd()
    stale = [path for path, text in files(root).items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(root)} is stale: run `make crds`")
        return 1 if stale else 0
    for path, text in files(root).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(f"{path.relative_to(root)}: {len(text.encode())} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
