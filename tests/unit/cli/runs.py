"""Runs as the API server holds them, for the tests of the CLI."""

from typing import Any

from sluice.cli.run_state import RunState, read_run

NOON = "2026-03-01T12:00:00Z"


def at(seconds: float) -> str:
    """The moment so many seconds after noon, at most an hour."""
    minutes, rest = divmod(seconds, 60)
    text = f"{rest:06.3f}" if rest % 1 else f"{int(rest):02}"
    return f"2026-03-01T12:{int(minutes):02}:{text}Z"


def run_object(phase: str | None = "Running", *steps: dict[str, Any], **status: Any) -> dict[str, Any]:
    """A PipelineRun; without a phase, one that nobody has looked at."""
    full = {"observedGeneration": 1, "phase": phase, "steps": list(steps), **status} if phase is not None else {}
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": {
            "name": "flights-x7k2p",
            "namespace": "data",
            "uid": "u-1",
            "creationTimestamp": NOON,
            "resourceVersion": "1",
        },
        "spec": {"pipeline": {"name": "flights"}},
        "status": full,
    }


def run_state(phase: str | None = "Running", *steps: dict[str, Any], **status: Any) -> RunState:
    """The same as the CLI reads it."""
    return read_run(run_object(phase, *steps, **status))


def ended(name: str, phase: str = "Succeeded", begin: float = 0, end: float = 12, **fields: Any) -> dict[str, Any]:
    """A step that ran."""
    row = {"name": name, "phase": phase, "attempt": 1, "pod": f"pod-{name}-1"}
    return {**row, "startedAt": at(begin), "finishedAt": at(end), **fields}


def live(name: str, begin: float = 0, **fields: Any) -> dict[str, Any]:
    """A step that is running."""
    row = {"name": name, "phase": "Running", "attempt": 1, "pod": f"pod-{name}-1", "startedAt": at(begin)}
    return {**row, **fields}
