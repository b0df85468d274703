"""Waiting longer after each failure, and never all at the same time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays with jitter: attempt n waits between half and all of `base * 2**n`, at most `cap` seconds."""

    base: float
    cap: float
    random: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def delay(self, failures: int) -> float:
        """Seconds to wait after that many failures in a row (1 is the first)."""
        full = min(self.cap, self.base * 2.0 ** min(max(failures - 1, 0), 62))
        return full * (0.5 + 0.5 * self.random.random())
