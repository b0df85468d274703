"""A pipeline that is edited: runs keep their revision, the next ones get the new one, and history is kept within bounds."""

from tests.cluster.kit import HELD, Manifest, Namespace, pipeline, shell


def _told(word: str) -> Manifest:
    """A pipeline whose second step is told `word`."""
    return pipeline("told", shell("first", HELD), shell("second", "true", args=[word], dependsOn=["first"]))


def _revision(namespace: Namespace) -> Manifest:
    """The current revision, once the newest spec has been looked at."""

    def look() -> Manifest | None:
        found = namespace.get("pipeline", "told")
        status = found.get("status", {})
        return status["revision"] if status.get("observedGeneration") == found["metadata"]["generation"] else None

    return namespace.wait_for("the revision", look)


def _word(namespace: Namespace, run: str) -> str:
    """What the second step of an ended run was told."""
    assert namespace.ended(run)["phase"] == "Succeeded"
    (pod,) = namespace.all_of("pods", f"sluice.dev/run={run},sluice.dev/step=second")
    return str(pod["spec"]["containers"][0]["args"][-1])


def test_a_run_keeps_its_revision_and_the_next_one_gets_the_new(namespace: Namespace) -> None:
    namespace.apply(_told("old"))
    old = _revision(namespace)
    early = namespace.run("told", "early")
    namespace.running(early, "first")
    namespace.apply(_told("new"))
    new = _revision(namespace)
    assert (old["number"], new["number"]) == (1, 2)
    late = namespace.run("told", "late")
    for run in (early, late):
        namespace.release(run, "first")
    assert (_word(namespace, early), _word(namespace, late)) == ("old", "new")
    revisions = [namespace.get("pipelinerun", run)["status"]["revision"] for run in (early, late)]
    assert revisions == [old["name"], new["name"]]

    namespace.apply(_told("old"))
    assert _revision(namespace) == old, "a spec that was there before is that revision again"
    assert len(namespace.all_of("controllerrevisions")) == 2
    again = namespace.run("told", "again", revision=new["name"])
    namespace.release(again, "first")
    assert _word(namespace, again) == "new", "a run may name its revision"


def test_a_revision_cannot_be_changed_and_comes_back_when_it_is_deleted(namespace: Namespace) -> None:
    namespace.apply(_told("old"))
    name = _revision(namespace)["name"]
    patch = '{"data": {"spec": {"steps": []}}}'
    refused = namespace.kubectl("patch", "controllerrevision", name, "--type=merge", "-p", patch, check=False)
    assert "field is immutable" in refused.stderr
    uid = namespace.get("controllerrevision", name)["metadata"]["uid"]
    namespace.kubectl("delete", "controllerrevision", name)

    def back() -> bool:
        return any(row["metadata"]["uid"] != uid for row in namespace.all_of("controllerrevisions"))

    namespace.wait_for("the revision again", back)
    assert [row["metadata"]["name"] for row in namespace.all_of("controllerrevisions")] == [name]


def test_ten_revisions_are_kept(namespace: Namespace) -> None:
    for number in range(1, 14):
        namespace.apply(_told(f"word {number}"))
        assert _revision(namespace)["number"] == number

    def kept() -> list[int]:
        return sorted(row["revision"] for row in namespace.all_of("controllerrevisions"))

    namespace.wait_for("the removal of the oldest", lambda: kept() == list(range(4, 14)))
