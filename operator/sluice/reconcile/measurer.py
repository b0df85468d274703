"""Asks metric sources, beside the work queue: a slow source must not keep a worker.

A look is started by a plan (`TakeLook`), runs as a task of its own with a time limit, and is added to the tally of its check.
Then the run or canary is looked at again. Tallies live here, in memory; what a restart must not lose of them is in its
status, and a look goes on from that. A failure of any kind is a look too: one that found nothing out.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sluice.api.durations import parse_duration
from sluice.api.metric_source import MetricSourceSpec, SecretKey
from sluice.api.reasons import Reason
from sluice.kube.client import KubeClient
from sluice.kube.clock import Clock
from sluice.kube.errors import KubeError
from sluice.kube.resources import SECRETS
from sluice.planning.actions import Subject, TakeLook, TallyKey
from sluice.planning.gate_status import Answer
from sluice.planning.metrics import Unaskable, ask, failed_look, limits_of, look_at
from sluice.planning.verdicts import Look, Tally
from sluice.planning.views import SourceView
from sluice.reconcile.caches import Caches
from sluice.sources.base import Denied, Misconfigured, SourceError, TimedOut
from sluice.sources.http import Http
from sluice.sources.registry import build, secrets_of
from sluice.sources.scrapes import Scrapes
from sluice.telemetry import metrics
from sluice.telemetry.logs import get_logger

AT_ONCE: Final = 64
"""Questions under way at once."""
SECRET_SECONDS: Final = 30.0
"""How long a Secret that was read is used again."""
DEFAULT_TIMEOUT: Final = "10s"

Place = tuple[str, str]
"""Namespace ("" for a ClusterMetricSource) and name of a source."""

log = get_logger(__name__)


class Unusable(Exception):
    """The source cannot be asked: it is not there, or its credentials are not."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class _Read:
    data: Mapping[str, str]
    until: float


class Measurer:
    """See the module."""

    def __init__(
        self,
        client: KubeClient,
        caches: Caches,
        clock: Clock,
        *,
        looked: Callable[[str, Subject], None],
        answered: Callable[[Place], None],
    ) -> None:
        """`looked(namespace, subject)` is called after each look, `answered(place)` when a source begins or ceases to answer."""
        self.answers: dict[Place, Answer] = {}
        self._client = client
        self._caches = caches
        self._clock = clock
        self._looked = looked
        self._answered = answered
        self._http = Http()
        self._scrapes = Scrapes()
        self._tallies: dict[str, dict[TallyKey, Tally]] = {}
        """By UID of the run or canary."""
        self._under_way: dict[tuple[str, TallyKey], asyncio.Task[None]] = {}
        self._secrets: dict[Place, _Read] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    def tallies(self, uid: str) -> Mapping[TallyKey, Tally]:
        """What is remembered of the looks of a run or a canary."""
        return self._tallies.get(uid, {})

    def start(self, namespace: str, action: TakeLook) -> None:
        """Take the look, unless one is under way for the same check."""
        key = (action.subject.uid, action.key)
        if key in self._under_way:
            return
        task = asyncio.create_task(self._take(namespace, action), name=f"look {action.check.name}")
        self._under_way[key] = task
        task.add_done_callback(lambda _: self._under_way.pop(key, None))

    def forget(self, uid: str) -> None:
        """It has ended: what is remembered of it is dropped, and what is under way is given up."""
        self._tallies.pop(uid, None)
        for (owner, _), task in list(self._under_way.items()):
            if owner == uid:
                task.cancel()

    def keep_only(self, uid: str, stage: int) -> None:
        """A canary has gone on to another stage: what was known of the stages before counts no more."""
        known = self._tallies.get(uid, {})
        for key in [key for key in known if key[0] != stage]:
            del known[key]

    async def stop(self) -> None:
        """Give up all looks."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.aclose()

    # -- one look --------------------------------------------------------------------------------------

    async def _take(self, namespace: str, action: TakeLook) -> None:
        async with self._room:
            look = await self._look(namespace, action)
        known = self._tallies.setdefault(action.subject.uid, {})
        tally = known.get(action.key, action.known)
        known[action.key] = tally.with_look(look, limits_of(action.check))
        self._looked(namespace, action.subject)

    async def _look(self, namespace: str, action: TakeLook) -> Look:
        check, at = action.check, self._clock.now()
        name = check.on_metric.source
        source = self._caches.sources.get(namespace, name) or self._caches.cluster_sources.get("", name)
        started = self._clock.monotonic()
        result = "answered"
        place = (source.namespace if source is not None else namespace, name)
        try:
            reader_spec, secrets = await self._ready(namespace, name, source)
            reader = build(reader_spec, secrets, self._http, self._scrapes)
            question = ask(check, action.values, reader.escape, at, action.begin)
            limit = min(parse_duration(reader_spec.timeout or DEFAULT_TIMEOUT).total_seconds(), 60.0)
            try:
                async with asyncio.timeout(limit + 1):
                    series = await reader.ask(question)
            except TimeoutError:
                raise TimedOut(f"no answer within {limit:g} s") from None
        except Unaskable as error:
            result = "Unaskable"
            look = failed_look(str(error), at)
        except (Unusable, SourceError) as error:
            result = type(error).__name__
            if isinstance(error, Denied):
                self._forget_secrets(namespace, source)
            self._note(place, source, Answer(_reason(error), str(error)))
            look = failed_look(str(error), at)
        except Exception as error:  # whatever it is, it is no evidence; the operator goes on
            result = "crashed"
            log.exception("a look at a metric crashed", check=check.name, source=name)
            look = failed_look(f"the look crashed: {type(error).__name__}", at)
        else:
            self._note(place, source, Answer(Reason.ANSWERS))
            look = look_at(check, series, at)
        metrics.METRIC_QUERIES.labels(place[0], name, result).inc()
        metrics.METRIC_QUERY_SECONDS.observe(self._clock.monotonic() - started)
        return look

    async def _ready(
        self, namespace: str, name: str, source: SourceView | None
    ) -> tuple[MetricSourceSpec, dict[SecretKey, str]]:
        if source is None:
            raise Unusable(
                Reason.NO_ANSWER, f'there is no MetricSource "{name}" in {namespace}, and no ClusterMetricSource'
            )
        if source.spec is None:
            raise Unusable(Reason.INVALID_SPEC, f'MetricSource "{name}" cannot be read: {source.problem}')
        secrets = {key: await self._secret(source, key) for key in secrets_of(source.spec)}
        return source.spec, secrets

    def _note(self, place: Place, source: SourceView | None, answer: Answer) -> None:
        """Remember whether a source answers. What it says is news only when that changes, or its reason."""
        if source is None:
            return
        before = self.answers.get(place)
        if before is None or before.reason is not answer.reason:
            self.answers[place] = answer
            self._answered(place)

    # -- credentials ----------------------------------------------------------------------------------

    async def _secret(self, source: SourceView, key: SecretKey) -> str:
        namespace = source.namespace or key.namespace or ""
        if not namespace:
            raise Unusable(
                Reason.CREDENTIALS_UNREADABLE, f'Secret "{key.name}": a ClusterMetricSource has to name its namespace'
            )
        place = (namespace, key.name)
        read = self._secrets.get(place)
        if read is None or read.until < self._clock.monotonic():
            try:
                found = await self._client.get(SECRETS, namespace, key.name, timeout=5)
            except KubeError as error:
                raise Unusable(
                    Reason.CREDENTIALS_UNREADABLE, f'Secret "{key.name}" in {namespace} cannot be read: {error}'
                ) from error
            read = _Read(_decoded(found), self._clock.monotonic() + SECRET_SECONDS)
            self._secrets[place] = read
        if key.key not in read.data:
            raise Unusable(
                Reason.CREDENTIALS_UNREADABLE, f'Secret "{key.name}" in {namespace} has no readable key "{key.key}"'
            )
        return read.data[key.key]

    def _forget_secrets(self, namespace: str, source: SourceView | None) -> None:
        """Credentials that were refused are read anew: they may have been replaced."""
        if source is None or source.spec is None:
            return
        for key in secrets_of(source.spec):
            self._secrets.pop((source.namespace or key.namespace or namespace, key.name), None)


def _reason(error: Unusable | SourceError) -> Reason:
    match error:
        case Unusable():
            return error.reason
        case Misconfigured():
            return Reason.INVALID_SPEC
        case _:
            return Reason.NO_ANSWER


def _decoded(secret: Mapping[str, Any]) -> dict[str, str]:
    """The values of a Secret that are text; a final line end does not belong to them."""
    data = {}
    for name, value in (secret.get("data") or {}).items():
        try:
            data[name] = base64.b64decode(value, validate=True).decode().rstrip("\r\n")
        except (binascii.Error, UnicodeDecodeError):
            continue
    return data
