"""Work on remote repositories for canaries and pipelines, beside the work queue: what a commit is, and what is pushed, which are
reverts and promotions.

Started by a plan (`ReadCommit`, `TakeBack`, `PutForward`), done by a few threads with time limits, and remembered until the
planner has put it on record; then the object is looked at again. Only repositories that a setting names are asked, whoever
names others. A failure costs nothing but what it is about.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sluice.api.commits import CommitRecord
from sluice.git.addresses import PROTOCOLS, is_within, same_repository
from sluice.git.clones import Clones
from sluice.git.credentials import NO_CREDENTIAL, Credential
from sluice.git.errors import BadAddress, Behind, GitError, NotThere, TooSlow, Unreachable
from sluice.git.process import Limits
from sluice.git.pushing import Outcome, Place
from sluice.git.putting_forward import ForwardOrder, put_forward
from sluice.git.taking_back import Order, take_back
from sluice.kube.client import KubeClient
from sluice.kube.clock import Clock
from sluice.kube.errors import KubeError
from sluice.kube.resources import APPLICATIONS, SECRETS
from sluice.planning.canary_actions import GitWork, PutForward, TakeBack
from sluice.planning.canary_scene import WriteBackResult
from sluice.planning.git_work import wait
from sluice.planning.origins import Applied, Origin, ReadCommit, StatedOrigin, application_of, applied, is_commit
from sluice.reconcile.queue import Key
from sluice.telemetry.logs import get_logger

READ_PAUSES: Final = (2.0, 10.0)
"""Seconds before the second and the third attempt to read."""
REMEMBERED: Final = 16
"""Revisions whose commits are remembered for each object. The planner has put older ones into its status."""
SHOWN: Final = 300

PASSING: Final = (Unreachable, TooSlow, Behind)
"""What may be otherwise a while later."""

ResultT = TypeVar("ResultT")
log = get_logger(__name__)


@dataclass(frozen=True)
class GitAccess:
    """What the operator may ask of whom, beside the API server."""

    folder: Path = Path("/tmp/sluice-git")  # noqa: S108 (its parent is a volume of the pod's own)
    """Where clones are kept. What is in it may be lost at any time."""
    repositories: tuple[str, ...] = ()
    """URLs of repositories, or with a slash at the end what they begin with. None: no repository is asked."""
    protocols: tuple[str, ...] = PROTOCOLS
    argocd: str = ""
    """Namespace of Argo CD's Applications; empty: they are not asked."""
    limits: Limits = field(default_factory=Limits)


class Commits:
    """See the module."""

    def __init__(self, client: KubeClient, clock: Clock, access: GitAccess, *, found: Callable[[Key], None]) -> None:
        """`found` is called when something is known of an object."""
        self.access = access
        self._client = client
        self._clock = clock
        self._found = found
        self._clones = Clones(access.folder, protocols=access.protocols, limits=access.limits)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="git")
        self._commits: dict[str, dict[str, CommitRecord | None]] = {}
        """By UID of the object, then by revision, the newest last. None: under way."""
        self._written: dict[tuple[str, type[GitWork]], WriteBackResult] = {}
        """By UID of the object, and what it is."""
        self._under_way: dict[asyncio.Task[None], str] = {}
        """The UIDs of their objects."""

    def origin(self, stated: StatedOrigin, kind: str, namespace: str, name: str) -> Origin:
        """Where an object comes from, as far as it may be asked. `kind` is as in `apps/Deployment`."""
        application = application_of(stated.tracking, kind, namespace, name) if self.access.argocd else ""
        return Origin(stated.commit, stated.repository, application)

    def commits(self, uid: str) -> Mapping[str, CommitRecord]:
        """What was found out, by revision."""
        known = self._commits.get(uid, {})
        return {revision: row for revision, row in known.items() if row is not None}

    def written(self, uid: str, kind: type[GitWork]) -> WriteBackResult | None:
        """What came of the newest work of a kind."""
        return self._written.get((uid, kind))

    def read(self, key: Key, uid: str, action: ReadCommit) -> None:
        """Find out about a commit, unless that is done or under way."""
        known = self._commits.setdefault(uid, {})
        if action.revision not in known:
            known[action.revision] = None
            for revision in list(known)[: max(0, len(known) - REMEMBERED)]:
                if known[revision] is not None:
                    del known[revision]
            self._start(uid, self._read(key, uid, action))

    def write(self, key: Key, uid: str, action: TakeBack | PutForward) -> None:
        """Push what is wanted, unless that is done or under way under this round and attempt."""
        place = uid, type(action)
        known = self._written.get(place)
        if known is None or (known.round, known.attempt) < (action.round, action.attempt):
            self._written[place] = WriteBackResult(action.round, action.attempt, "Running")
            self._start(uid, self._write(key, uid, action))

    def forget(self, uid: str) -> None:
        """The object is gone: what is remembered of it is dropped. What git is doing at this moment is done to its end."""
        self._commits.pop(uid, None)
        for place in [place for place in self._written if place[0] == uid]:
            del self._written[place]
        for task, owner in self._under_way.items():
            if owner == uid:
                task.cancel()

    async def stop(self) -> None:
        """Give up what is under way."""
        self._clones.close()
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self, uid: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._under_way[task] = uid
        task.add_done_callback(self._under_way.pop)

    async def _in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    # -- what a commit is --------------------------------------------------------------------------------

    async def _read(self, key: Key, uid: str, action: ReadCommit) -> None:
        try:
            record = await self._record(key.namespace, action)
        except Exception as error:  # whatever it is, everything else goes on
            log.exception("reading a commit crashed", kind=key.kind, namespace=key.namespace, name=key.name)
            record = CommitRecord(revision=action.revision, problem=f"reading it crashed: {type(error).__name__}")
        known = self._commits.get(uid)
        if known is None or known.get(action.revision, record) is not None:
            return  # forgotten
        known[action.revision] = record
        log.info(
            "commit", kind=key.kind, namespace=key.namespace, name=key.name, commit=record.id, problem=record.problem
        )
        self._found(key)

    async def _record(self, namespace: str, action: ReadCommit) -> CommitRecord:
        origin = action.origin
        if origin.commit and not is_commit(origin.commit):
            problem = f"sluice.dev/commit is {origin.commit[:80]!r}: must be the whole id of a commit"
            return CommitRecord(revision=action.revision, problem=problem)
        told = Applied()
        if origin.application:
            try:
                told = applied(await self._application(origin.application))
            except KubeError as error:
                told = Applied(problem=f"Application {self.access.argocd}/{origin.application}: {error.message}")
        record = CommitRecord(
            revision=action.revision,
            id=origin.commit or told.commit,
            repository=origin.repository or told.repository or action.repository or "",
            path=told.path,
            problem="" if origin.commit else told.problem[:SHOWN],
        )
        if not record.id or not is_within(record.repository, self.access.repositories):
            return record  # nobody to ask
        own = action.repository is None or same_repository(action.repository, record.repository)
        return await self._detailed(namespace, record, action.secret if own else None)

    async def _application(self, name: str) -> Mapping[str, Any]:
        for seconds in READ_PAUSES:
            try:
                return await self._client.get(APPLICATIONS, self.access.argocd, name)
            except KubeError as error:
                if not error.retryable:
                    raise
            await self._clock.sleep(seconds)
        return await self._client.get(APPLICATIONS, self.access.argocd, name)

    async def _detailed(self, namespace: str, record: CommitRecord, secret: str | None) -> CommitRecord:
        for seconds in (*READ_PAUSES, None):
            try:
                credential = await self._credential(namespace, secret)
                read = partial(self._clones.commit, record.repository, record.id, credential)
                found = await self._in_thread(read)
            except (GitError, KubeError) as error:
                passing = isinstance(error, PASSING) or (isinstance(error, KubeError) and error.retryable)
                if seconds is None or not passing:
                    return record.model_copy(update={"problem": str(error)[:SHOWN]})
                await self._clock.sleep(seconds)
                continue
            details = {"author": found.author[:SHOWN], "message": found.message[:SHOWN], "time": found.time}
            return record.model_copy(update=details)
        raise AssertionError("no attempt is left")

    async def _credential(self, namespace: str, secret: str | None) -> Credential:
        """Raises BadAddress, KubeError."""
        if secret is None:
            return NO_CREDENTIAL
        try:
            found = await self._client.get(SECRETS, namespace, secret)
        except KubeError as error:
            if error.retryable:
                raise
            raise BadAddress(f'Secret "{secret}" in {namespace} cannot be read: {error.message}') from error
        return Credential.of_secret(secret, found.get("data") or {})

    # -- what is pushed ----------------------------------------------------------------------------------

    async def _write(self, key: Key, uid: str, action: TakeBack | PutForward) -> None:
        if pause := wait(action.attempt).total_seconds():
            await self._clock.sleep(pause)
        result, place = await self._pushed(key, action), (uid, type(action))
        if self._written.get(place) != WriteBackResult(action.round, action.attempt, "Running"):
            return  # forgotten, or a later attempt is under way
        self._written[place] = result
        log.info(
            "write-back",
            namespace=key.namespace,
            canary=key.name,
            what=type(action).__name__,
            attempt=action.attempt,
            state=result.state,
            commit=result.commit,
            answer=result.message,
        )
        self._found(key)

    async def _pushed(self, key: Key, action: TakeBack | PutForward) -> WriteBackResult:
        answer = partial(WriteBackResult, action.round, action.attempt)
        if not is_within(action.repository, self.access.repositories):
            allowed = ", ".join(self.access.repositories) or "none"
            said = f"repository {action.repository[:100]!r} is not one that the operator may use: {allowed}"
            return answer("Failed", None, said)
        try:
            credential = await self._credential(key.namespace, action.secret)
            place = Place(repository=action.repository, branch=action.branch, aside=action.aside, credential=credential)
            done = await self._in_thread(partial(self._ordered, place, action))
        except (*PASSING, NotThere) as error:
            return answer("Again", None, str(error))
        except GitError as error:
            return answer("Failed", None, str(error))
        except KubeError as error:
            return answer("Again" if error.retryable else "Failed", None, str(error))
        except Exception as error:  # whatever it is, it is no success; the operator goes on
            log.exception("work in Git crashed", kind=key.kind, namespace=key.namespace, name=key.name)
            return answer("Failed", None, f"it crashed: {type(error).__name__}")
        return answer(done.state, done.commit, done.message)

    def _ordered(self, place: Place, action: TakeBack | PutForward) -> Outcome:
        clones, pause, fence = self._clones, self._clones.pause, self._client.fence
        match action:
            case TakeBack():
                return take_back(clones, Order(place, action.path, action.wanted), pause=pause, fence=fence)
            case PutForward():
                return put_forward(clones, ForwardOrder(place, action.wanted), pause=pause, fence=fence)
