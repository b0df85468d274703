"""One call of a hook, as those see it who make it, and how it fails."""

from collections.abc import Mapping
from dataclasses import dataclass

from sluice.api.base import Json
from sluice.planning.canary_actions import RunHook


@dataclass(frozen=True)
class HookCall:
    """An attempt at a hook of a Canary."""

    namespace: str
    canary: str
    canary_uid: str
    action: RunHook
    facts: Mapping[str, Json]
    """What a request tells of the rollout: target, phase, step, weight, revisions."""

    @property
    def seconds(self) -> float:
        """How long the attempt may take."""
        return self.action.timeout.total_seconds()


class HookFailed(Exception):
    """The attempt failed. The message says why, and holds no credential."""
