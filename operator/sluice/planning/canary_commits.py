"""Where the revisions of a canary come from: what is asked about their commits, and what is put on record. Pure.

It is asked once for each revision, beside everything else: no move of a canary waits for the answer.
"""

from sluice.api.canary_status import CanaryStatus
from sluice.planning.canary_scene import CanaryScene
from sluice.planning.origins import ReadCommit, short


def with_commits(scene: CanaryScene, status: CanaryStatus) -> CanaryStatus:
    """The status with the commits of its revisions, as far as they are known."""
    known = dict(scene.commits)
    known |= {row.revision: row for row in (status.stable_commit, status.candidate_commit) if row is not None}
    stable = known.get(status.stable_revision or "")
    candidate = known.get(status.candidate_revision or "")
    newest = next((row.id for row in (candidate, stable) if row is not None and row.id), None)
    update = {
        "stable_commit": stable,
        "candidate_commit": candidate,
        "commit": short(newest) if newest is not None else None,
    }
    return status.model_copy(update=update)


def asked(scene: CanaryScene, status: CanaryStatus) -> tuple[ReadCommit, ...]:
    """What has to be found out. Only what the target states now can be: of an earlier revision nothing tells any more."""
    target = scene.target
    if target is None or not target.origin.known:
        return ()
    wanted = {status.stable_revision, status.candidate_revision}
    known = {row.revision for row in (status.stable_commit, status.candidate_commit) if row is not None}
    if target.revision not in wanted - known:
        return ()
    rule = scene.canary.spec.write_back if scene.canary.spec is not None else None
    secret = rule.secret.name if rule is not None and rule.secret is not None else None
    return (ReadCommit(target.revision, target.origin, rule.repository if rule is not None else None, secret),)
