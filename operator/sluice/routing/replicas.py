"""The router of clusters without a router: a Service that selects both versions, and traffic by the share of pods.

The weight is as fine as the number of pods allows, and it holds only as far as the Service spreads connections evenly.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice.routing.base import ALL


@dataclass(frozen=True, slots=True)
class Shares:
    """Numbers of pods."""

    stable: int
    candidate: int

    @property
    def weight(self) -> float:
        """Percent of the pods that are the candidate's; 0 without any."""
        return self.candidate * ALL / ((self.stable + self.candidate) or 1)


def divide(replicas: int, weight: int) -> Shares:
    """Give `weight` percent of `replicas` pods to the candidate, as nearly as whole pods allow.

    Between 0 and 100 each side has at least one pod, so a single replica becomes two.
    """
    _check(replicas, weight)
    if weight in (0, ALL) or replicas == 0:
        candidate = replicas if weight == ALL else 0
        return Shares(replicas - candidate, candidate)
    total = max(replicas, 2)
    candidate = min(max(_nearest(total * weight, ALL), 1), total - 1)
    return Shares(total - candidate, candidate)


def beside(stable: int, weight: int, most: int) -> Shares:
    """Leave all `stable` pods where they are, and give the candidate as many as make `weight` percent of all, but at most `most`.

    Below 100 there is a number for every weight; 100 cannot be had while the stable pods run, and gives `most`.
    """
    _check(stable, weight)
    if weight == 0 or most <= 0 or stable == 0:
        return Shares(stable, 0)
    wanted = most if weight == ALL else max(_nearest(stable * weight, ALL - weight), 1)
    return Shares(stable, min(wanted, most))


def _check(replicas: int, weight: int) -> None:
    if replicas < 0:
        raise ValueError(f"replicas is {replicas}: it has to be 0 or more")
    if not 0 <= weight <= ALL:
        raise ValueError(f"weight is {weight}: it has to be from 0 to {ALL}")


def _nearest(part: int, whole: int) -> int:
    """`part / whole` to the nearest whole number, half up: without floats, so that it is the same everywhere."""
    return (2 * part + whole) // (2 * whole)
