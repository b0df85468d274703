"""`sluice diff` on real repositories: ranges, what is read and what is not, the forms of the answer, the exit codes."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sluice.cli.diff_output import MARK, MAX_COMMENT
from sluice.cli.errors import CliError
from sluice.cli.main import app
from sluice.git import trees

runner = CliRunner()

PIPELINE = """\
apiVersion: sluice.dev/v1alpha1
kind: DataPipeline
metadata:
  name: flights
spec:
  steps:
    - name: extract
      image: acme/flights:1
    - name: check
      dependsOn: [extract]
      gate:
        name: slo
"""
GATE = """\
apiVersion: sluice.dev/v1alpha1
kind: QualityGate
metadata: {name: slo}
spec:
  checks:
    - {name: errors, metric: {source: prometheus, query: up, max: 0.01}}
"""
CANARY = """\
apiVersion: sluice.dev/v1alpha1
kind: Canary
metadata: {name: pricing}
spec:
  target: {apiVersion: apps/v1, kind: Deployment, name: pricing}
  routing: {gatewayAPI: {routes: [{name: pricing}]}}
  canary: {steps: [{weight: 5, hold: 10m}]}
  gates: [{name: slo}]
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: pricing}
spec:
  selector: {matchLabels: {app: pricing}}
  template:
    metadata: {labels: {app: pricing}}
    spec: {containers: [{name: app, image: "acme/pricing:1"}]}
"""


class Repo:
    """A repository with a history of our own making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        who = {
            f"GIT_{role}_{what}": "tester@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        environment = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout.strip()

    def write(self, **files: str | bytes | None) -> None:
        """Files by their paths; None removes one."""
        for name, content in files.items():
            path = self.folder / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, **files: str | bytes | None) -> str:
        self.write(**files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    made = Repo(tmp_path / "repo")
    made.commit(
        **{"flights.yaml": PIPELINE, "gate.yaml": GATE, "app/canary.yaml": CANARY, "app/deployment.yaml": DEPLOYMENT}
    )
    monkeypatch.chdir(made.folder)
    return made


def run(*arguments: str) -> tuple[int, str, str]:
    result = runner.invoke(app, ["diff", *arguments])
    if isinstance(result.exception, CliError):
        return int(result.exception.code), result.stdout, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def answer(*arguments: str) -> dict[str, Any]:
    code, output, error = run(*arguments, "-o", "json")
    assert code in (0, 1), error
    document: dict[str, Any] = json.loads(output)
    return document


def changed(*arguments: str) -> list[str]:
    return [f"{one['change']} {one['kind']} {one['name']}" for one in answer(*arguments)["changes"]]


# -- ranges -----------------------------------------------------------------------------------------------------------


def test_a_range_of_two_commits(repo: Repo) -> None:
    repo.commit(**{"flights.yaml": PIPELINE.replace("flights:1", "flights:2")})
    code, output, _ = run("main~1..main")
    assert code == 0
    assert "changed  DataPipeline flights\n" in output
    assert "step extract changes: image acme/flights:1 -> acme/flights:2" in output
    assert "spec.steps[extract].image: acme/flights:1 -> acme/flights:2" in output
    assert output.endswith("3 objects in 4 files: 3 valid, 0 invalid, 1 other object not checked\n")


def test_three_dots_compare_with_the_merge_base(repo: Repo) -> None:
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit(**{"app/deployment.yaml": DEPLOYMENT.replace("pricing:1", "pricing:2")})
    repo.git("checkout", "-q", "main")
    repo.commit(**{"flights.yaml": PIPELINE.replace("flights:1", "flights:2")})
    assert changed("main...feature") == ["changed Deployment pricing"]
    assert changed("main..feature") == ["changed DataPipeline flights", "changed Deployment pricing"]


def test_a_side_that_is_left_out_is_head(repo: Repo) -> None:
    repo.commit(**{"gate.yaml": GATE.replace("0.01", "0.02")})
    assert changed("main~1..") == changed("main~1...") == ["changed QualityGate slo"]


def test_one_revision_is_compared_with_the_working_tree(repo: Repo) -> None:
    repo.commit(**{".gitignore": "ignored.yaml\n"})
    repo.write(
        **{
            "new.yaml": PIPELINE.replace("name: flights", "name: staged"),
            "ignored.yaml": PIPELINE.replace("flights", "x"),
        }
    )
    repo.git("add", "new.yaml")
    repo.write(**{"untracked.yaml": PIPELINE.replace("name: flights", "name: untracked"), "app/canary.yaml": None})
    assert changed("HEAD") == ["removed Canary pricing", "added DataPipeline staged", "added DataPipeline untracked"]


def test_equal_sides_change_nothing_and_are_checked_all_the_same(repo: Repo) -> None:
    code, output, _ = run("main..main")
    assert (code, output.splitlines()[0].split(": ")[1]) == (0, "nothing changes")


def test_path_narrows_it_down(repo: Repo) -> None:
    repo.commit(
        **{
            "gate.yaml": GATE.replace("0.01", "0.02"),
            "app/deployment.yaml": DEPLOYMENT.replace("pricing:1", "pricing:2"),
        }
    )
    assert changed("main~1..main", "--path", "app") == ["changed Deployment pricing"]


def test_the_folder_one_stands_in_is_what_is_compared(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit(**{"gate.yaml": GATE.replace("0.01", "0.02")})
    monkeypatch.chdir(repo.folder / "app")
    assert changed("main~1..main") == []
    assert changed("main~1..main", "--path", "..") == ["changed QualityGate slo"]


def test_a_folder_that_only_one_side_has(repo: Repo) -> None:
    repo.commit(**{"app/canary.yaml": None, "app/deployment.yaml": None})
    assert changed("main~1..main", "--path", "app") == ["removed Canary pricing", "removed Deployment pricing"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody..main"], 'unknown revision "nobody"; in CI, fetch the whole history first'),
        (["--path", "app", "main..deadbeef"], 'unknown revision "deadbeef"'),
        ([".."], '".." is an empty range; it must be BASE..HEAD, BASE...HEAD or BASE'),
        (["..."], '"..." is an empty range'),
        ([""], "the range is empty; it must be BASE..HEAD, BASE...HEAD or BASE"),
        (["main:gate.yaml"], 'unknown revision "main:gate.yaml"'),
        (["main", "--path", "nowhere"], "nowhere: no files there, neither in main"),
        (["main", "--path", "/"], "/: not in a Git repository"),
        (["main", "--path", "../outside"], "is outside of the repository"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(repo: Repo, arguments: list[str], message: str) -> None:
    if "../outside" in arguments:
        (repo.folder.parent / "outside").mkdir()
        message = "not in a Git repository"
    code, output, error = run(*arguments)
    assert (code, output) == (2, "")
    assert message in error


def test_a_revision_that_looks_like_an_option_is_none(repo: Repo) -> None:
    code, _, error = run("--", "--output=x..main")
    assert (code, error.split(";")[0]) == (2, 'unknown revision "--output=x"')
    assert not (repo.folder / "x").exists()


def test_histories_without_a_common_commit_have_no_merge_base(repo: Repo) -> None:
    repo.git("checkout", "-q", "--orphan", "other")
    repo.commit(**{"gate.yaml": GATE.replace("0.01", "0.02")})
    code, _, error = run("main...other")
    assert code == 2
    assert error.startswith("main and other have no commit in common; in CI, fetch the whole history first")


def test_a_bare_repository_has_no_working_tree(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit(**{"gate.yaml": GATE.replace("0.01", "0.02")})
    repo.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    monkeypatch.chdir(tmp_path / "bare.git")
    assert changed("main~1..main") == ["changed QualityGate slo"]
    assert run("main")[2] == "main: a bare repository has no working tree; give BASE..HEAD"


def test_variables_of_a_hook_that_runs_us_do_not_mislead(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repo(tmp_path / "other")
    other.commit(**{"x.yaml": GATE})
    repo.commit(**{"gate.yaml": GATE.replace("0.01", "0.02")})
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    assert changed("main~1..main") == ["changed QualityGate slo"]


# -- what is said -----------------------------------------------------------------------------------------------------


def test_a_canary_that_will_start_is_told(repo: Repo) -> None:
    repo.commit(**{"app/deployment.yaml": DEPLOYMENT.replace("pricing:1", "pricing:2")})
    _, output, _ = run("main~1..main")
    assert "    a canary will start (pricing): 5 % for 10m, then 100 %, watch 1m; gate slo\n" in output


def test_invalid_objects_are_told_as_validate_does_with_file_and_line(repo: Repo) -> None:
    repo.commit(**{"flights.yaml": PIPELINE.replace("[extract]", "[extrakt]")})
    code, output, _ = run("main~1..main")
    validated = runner.invoke(app, ["validate", "flights.yaml"]).stdout.splitlines()[0]
    assert code == 1
    assert validated.startswith('flights.yaml:10: spec.steps[1].dependsOn[0]: Not found: "extrakt"')
    assert validated in output.splitlines()


def test_what_was_invalid_before_and_is_mended_is_no_error(repo: Repo) -> None:
    repo.commit(**{"flights.yaml": PIPELINE.replace("[extract]", "[extrakt]")})
    repo.commit(**{"flights.yaml": PIPELINE})
    assert run("main~1..main")[0] == 0


def test_a_gate_that_is_removed_while_something_names_it_is_an_error_at_that_line(repo: Repo) -> None:
    repo.commit(**{"gate.yaml": None})
    code, output, _ = run("main~1..main")
    assert code == 1
    assert 'flights.yaml:12: spec.steps[1].gate.name: Not found: "slo": QualityGate slo is removed' in output
    assert 'app/canary.yaml:8: spec.gates[0].name: Not found: "slo"' in output


def test_a_renamed_pipeline_is_told_as_one(repo: Repo) -> None:
    repo.commit(**{"flights.yaml": PIPELINE.replace("  name: flights", "  name: arrivals")})
    assert changed("main~1..main") == ["renamed DataPipeline arrivals"]
    assert "renamed  DataPipeline flights -> arrivals" in run("main~1..main")[1]


# -- exit codes -------------------------------------------------------------------------------------------------------


def test_exit_code_tells_whether_something_changes(repo: Repo) -> None:
    repo.commit(**{"gate.yaml": GATE.replace("0.01", "0.02")})
    assert run("main~1..main")[0] == 0
    assert run("main~1..main", "--exit-code")[0] == 3
    assert run("main..main", "--exit-code")[0] == 0


def test_what_is_invalid_outweighs_what_changes(repo: Repo) -> None:
    repo.commit(**{"flights.yaml": PIPELINE.replace("[extract]", "[extrakt]")})
    assert run("main~1..main", "--exit-code")[0] == 1


# -- bad input --------------------------------------------------------------------------------------------------------


def test_a_manifest_of_half_a_gigabyte_is_named_and_not_read(repo: Repo) -> None:
    with (repo.folder / "large.yaml").open("wb") as file:
        file.truncate(500_000_000)
    repo.write(**{"gate.yaml": GATE.replace("0.01", "0.02")})
    code, output, error = run("HEAD")
    assert code == 2
    assert "error: large.yaml: 500000000 bytes, above 1 MiB: not read" in error
    assert "changed  QualityGate slo" in output, "the rest is compared all the same"


def test_a_large_file_that_stays_as_it_is_is_noted(repo: Repo) -> None:
    repo.commit(**{"large.yaml": "#" * (trees.MAX_FILE_BYTES + 1)})
    repo.commit(**{"gate.yaml": GATE.replace("0.01", "0.02")})
    code, _, error = run("main~1..main")
    assert code == 0
    assert f"note: large.yaml: {trees.MAX_FILE_BYTES + 1} bytes, above 1 MiB: not read" in error


def test_more_than_can_be_read_asks_for_a_path(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MAX_FILES", 3)
    code, _, error = run("main..main")
    assert code == 2
    assert "4 files with 0 MiB; at most 3 files and 64 MiB; give --path DIR" in error
    assert run("main..main", "--path", "app")[0] == 0


def test_text_that_is_not_utf_8_is_an_error_with_its_line(repo: Repo) -> None:
    repo.commit(**{"gate.yaml": GATE.encode() + b"# caf\xe9\n"})
    code, output, error = run("main~1..main")
    assert code == 2
    assert "error: gate.yaml:7: not UTF-8 text" in error
    assert "removed" not in output, "what cannot be read may still be there"


def test_a_yaml_bomb_is_an_error_with_its_line(repo: Repo) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
        for before, name in zip("abcdefg", "bcdefgh", strict=True)
    )
    repo.commit(**{"gate.yaml": GATE + bomb})
    code, output, _ = run("main~1..main")
    assert code == 1
    assert "gate.yaml:1: more than 200000 values, aliases written out" in output


def test_a_file_of_something_else_is_noted(repo: Repo) -> None:
    repo.commit(**{"playbook.yaml": "{{ if }}\n"})
    code, _, error = run("main~1..main")
    assert code == 0
    assert "note: playbook.yaml:1: is a template, not YAML" in error


def test_no_hook_and_no_monitor_of_the_repository_runs(repo: Repo, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    program = repo.folder / ".git" / "evil"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        shutil.copy(program, repo.folder / ".git" / "hooks" / name)
    repo.write(**{".gitattributes": "* filter=evil diff=evil\n", "gate.yaml": GATE.replace("0.01", "0.02")})
    for key in ("core.fsmonitor", "filter.evil.smudge", "filter.evil.clean", "diff.evil.textconv", "core.pager"):
        repo.git("config", key, str(program))
    assert changed("HEAD") == changed("main~0") == ["changed QualityGate slo"]
    assert run("main..main")[0] == 0
    assert not mark.exists()


def test_links_within_the_tree_are_followed_and_others_are_not(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text(PIPELINE.replace("name: flights", "name: secret"))
    (repo.folder / "linked.yaml").symlink_to("shared/pipeline")
    (repo.folder / "out.yaml").symlink_to(tmp_path / "secret.yaml")
    (repo.folder / "up").mkdir()
    (repo.folder / "up" / "out.yaml").symlink_to("../../secret.yaml")
    (repo.folder / "nowhere.yaml").symlink_to("missing.yaml")
    repo.commit(
        **{
            "kustomized/kustomization.yaml": "resources: []\n",
            "shared/pipeline": PIPELINE.replace("name: f", "name: g"),
        }
    )
    for between in ("main~1..main", "main~1"):
        document = json.loads(run(between, "-o", "json")[1])
        assert [one["name"] for one in document["changes"]] == ["glights"]
        refused = [row.split(":")[0] for row in document["errors"] if "leads out of the tree" in row]
        assert sorted(refused) == ["nowhere.yaml", "out.yaml", "up/out.yaml"]


def test_no_path_of_a_tree_is_written_outside_of_the_folder(repo: Repo, tmp_path: Path) -> None:
    """A tree as no git would write it: a link to a folder outside, and entries below that link."""
    repository = trees.Repository.around(repo.folder)
    blob = repo.git("hash-object", "-w", "gate.yaml")
    link = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"], cwd=repo.folder, input=b"../target", check=True, capture_output=True
    ).stdout.decode()
    folder, target = tmp_path / "folder", tmp_path / "target"
    folder.mkdir()
    target.mkdir()
    file, as_link = trees.EntryKind.FILE, trees.EntryKind.LINK
    entries = [
        trees.Entry("../escape.yaml", file, 1, blob),
        trees.Entry("a/../../escape.yaml", file, 1, blob),
        trees.Entry("/tmp/escape.yaml", file, 1, blob),
        trees.Entry(".git/hooks/x", file, 1, blob),
        trees.Entry("link", as_link, 1, link.strip()),
        trees.Entry("link/inside.yaml", as_link, 1, link.strip()),
        trees.Entry("good.yaml", file, 1, blob),
    ]
    skipped = repository.write(trees.Side("main", repo.git("rev-parse", "main")), entries, folder)
    assert len(skipped) == 6
    assert [path.name for path in folder.rglob("*")] == ["good.yaml"]
    assert list(target.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "repo", "target"]


def test_a_git_that_does_not_answer_is_ended(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(trees, "TIME_LIMIT", 0.3)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    code, _, error = run("main..main")
    assert code == 2
    assert "did not complete in 0.3 secs" in error


def test_a_submodule_is_noted(repo: Repo, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other")
    other.commit(**{"x.yaml": GATE})
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.folder), "sub")
    repo.commit(**{"kustomized/kustomization.yaml": "resources: []\n"})
    document = json.loads(run("main~1..main", "-o", "json")[1])
    assert "sub: a submodule or a repository of its own: not read" in document["notes"]


# -- what has to be built ---------------------------------------------------------------------------------------------

needs_kustomize = pytest.mark.skipif(
    not (shutil.which("kustomize") or shutil.which("kubectl")), reason="neither kustomize nor kubectl is here"
)


def with_overlays(repo: Repo) -> None:
    repo.commit(
        **{
            "k/base/kustomization.yaml": "resources: [pipeline.yaml, slo.yaml]\n",
            "k/base/pipeline.yaml": PIPELINE,
            "k/base/slo.yaml": GATE,
            "k/dev/kustomization.yaml": "resources: [../base]\nnamespace: dev\n",
            "k/prod/kustomization.yaml": "resources: [../base]\nnamespace: prod\npatches: [{path: patch.yaml}]\n",
            "k/prod/patch.yaml": PIPELINE.split("spec:")[0] + "spec: {description: in production}\n",
        }
    )


@needs_kustomize
def test_each_overlay_is_built_with_its_base(repo: Repo) -> None:
    with_overlays(repo)
    repo.commit(**{"k/base/pipeline.yaml": PIPELINE.replace("flights:1", "flights:2")})
    document = answer("main~1..main", "--path", "k")
    found = [(one["namespace"], one["builtFrom"]) for one in document["changes"]]
    assert found == [("dev", "k/dev"), ("prod", "k/prod")]
    assert document["notes"] == []


@needs_kustomize
def test_a_base_outside_of_the_path_is_found(repo: Repo) -> None:
    with_overlays(repo)
    repo.commit(**{"k/base/pipeline.yaml": PIPELINE.replace("flights:1", "flights:2")})
    assert changed("main~1..main", "--path", "k/prod") == ["changed DataPipeline flights"]


@needs_kustomize
def test_what_is_wrong_with_a_built_object_is_told_where_it_was_written(repo: Repo) -> None:
    with_overlays(repo)
    repo.commit(**{"k/base/pipeline.yaml": PIPELINE.replace("[extract]", "[extrakt]")})
    code, output, _ = run("main~1..main", "--path", "k/dev")
    assert code == 1
    assert 'k/base/pipeline.yaml:10: spec.steps[1].dependsOn[0]: Not found: "extrakt"' in output


@needs_kustomize
def test_what_cannot_be_built_is_an_error_and_the_rest_is_compared(repo: Repo) -> None:
    with_overlays(repo)
    repo.commit(**{"k/prod/kustomization.yaml": "resources: [../missing]\n", "gate.yaml": GATE.replace("0.01", "0.02")})
    code, output, error = run("main~1..main")
    assert code == 2
    assert "error: k/prod: " in error
    assert "missing" in error
    assert "sluice-diff-" not in error, "where the tree happened to lie is of no use to anybody"
    assert "changed  QualityGate slo" in output
    assert "removed" not in output


@needs_kustomize
def test_what_could_not_be_built_before_is_not_called_new(repo: Repo) -> None:
    with_overlays(repo)
    repo.commit(**{"k/prod/kustomization.yaml": "resources: [../missing]\n"})
    repo.commit(
        **{"k/prod/kustomization.yaml": "resources: [../base]\nnamespace: prod\npatches: [{path: patch.yaml}]\n"}
    )
    code, output, error = run("main~1..main")
    assert (code, output.splitlines()[0].split(": ")[1]) == (0, "nothing changes")
    assert "note: not compared, as it could not be built before: k/prod: " in error


@needs_kustomize
def test_a_file_that_no_kustomization_names_is_read_and_noted(repo: Repo) -> None:
    repo.commit(**{"app/kustomization.yaml": "resources: [deployment.yaml]\n"})
    repo.commit(**{"app/deployment.yaml": DEPLOYMENT.replace("pricing:1", "pricing:2")})
    _, output, error = run("main~1..main")
    assert "a canary will start (pricing)" in output
    assert "note: app/canary.yaml: no kustomization names it; it is read as it stands" in error


def test_without_kustomize_it_is_said_what_is_missing(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = shutil.which("git")
    assert git is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(git)
    with_overlays(repo)
    repo.commit(
        **{"c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n", "gate.yaml": GATE.replace("0.01", "0.02")}
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    code, output, error = run("main~1..main")
    assert code == 2
    assert "error: k/dev: has a kustomization: neither kustomize nor kubectl is installed here" in error
    assert "error: c: a Helm chart: helm is not installed here" in error
    assert "changed  QualityGate slo" in output


@pytest.mark.skipif(not shutil.which("helm"), reason="helm is not here")
def test_a_chart_is_built_by_helm(repo: Repo) -> None:
    template = PIPELINE.replace("acme/flights:1", "acme/flights:{{ .Values.tag }}")
    chart = "apiVersion: v2\nname: c\nversion: 0.1.0\n"
    repo.commit(**{"c/Chart.yaml": chart, "c/values.yaml": "tag: 1\n", "c/templates/pipeline.yaml": template})
    repo.commit(**{"c/values.yaml": "tag: 2\n"})
    (change,) = answer("main~1..main", "--path", "c")["changes"]
    assert change["fields"] == [
        {"path": "spec.steps[extract].image", "before": "acme/flights:1", "after": "acme/flights:2"}
    ]


# -- forms of the answer ----------------------------------------------------------------------------------------------


def test_the_answer_in_json(repo: Repo) -> None:
    base = repo.git("rev-parse", "main")
    head = repo.commit(**{"gate.yaml": GATE.replace("0.01", "0.02")})
    assert answer(f"{base}..main") == {
        "base": base[:10],
        "head": f"main ({head[:10]})",
        "valid": True,
        "changes": [
            {
                "kind": "QualityGate",
                "name": "slo",
                "group": "sluice.dev",
                "change": "changed",
                "fields": [{"path": "spec.checks[errors].metric.max", "before": "0.01", "after": "0.02"}],
                "moreFields": 0,
                "effects": [
                    {
                        "level": "info",
                        "message": "judges DataPipeline flights and Canary pricing; runs and rollouts under way are judged "
                        "anew by it from then on",
                    },
                    {"level": "info", "message": "check changed: errors"},
                ],
            }
        ],
        "findings": [],
        "notes": [],
        "errors": [],
    }


def test_the_answer_in_markdown(repo: Repo) -> None:
    repo.commit(**{"app/deployment.yaml": DEPLOYMENT.replace("pricing:1", "pricing:2")})
    code, output, _ = run("main~1..main", "-o", "markdown")
    assert code == 0
    assert output.splitlines()[:2] == [MARK, "### sluice: 1 changed"]
    assert (
        "| changed | Deployment pricing | a canary will start (pricing): 5 % for 10m, then 100 %, watch 1m; gate slo |"
        in output.splitlines()
    )
    assert (
        "```diff\n- spec.template.spec.containers[app].image: acme/pricing:1\n"
        "+ spec.template.spec.containers[app].image: acme/pricing:2\n```" in output
    )


def test_what_must_not_be_merged_comes_first_in_markdown(repo: Repo) -> None:
    repo.commit(**{"flights.yaml": PIPELINE.replace("[extract]", "[extrakt]")})
    code, output, _ = run("main~1..main", "-o", "markdown")
    assert code == 1
    assert output.index("**Must not be merged:**") < output.index("| | object |")
    assert "- `flights.yaml:10` spec.steps" in output


def test_nothing_in_a_manifest_is_taken_for_markup(repo: Repo) -> None:
    evil = "| <img src=x> @everyone ``` [a](http://b) **c**"
    added = PIPELINE.replace("metadata:", "metadata:\n  labels:\n    a: " + json.dumps(evil))
    repo.commit(
        **{"flights.yaml": added, "x.yaml": f"kind: Gadget\napiVersion: v1\nmetadata: {{name: {json.dumps(evil)}}}\n"}
    )
    output = run("main~1..main", "-o", "markdown")[1]
    (row,) = [line for line in output.splitlines() if line.startswith("| added")]
    assert row.replace("&#124;", "").count("|") == 4
    assert not any(part in row for part in ("<img", "@everyone", "`", "[a]", "**"))
    assert output.count("\n```") == 2, "a fence that opens and one that closes"


def test_a_comment_stays_below_what_github_takes(repo: Repo) -> None:
    many = "---\n".join(
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{i}}}\ndata: {{a: {'x' * 300}}}\n" for i in range(800)
    )
    repo.commit(**{"many.yaml": many})
    repo.commit(**{"many.yaml": many.replace("xxx", "yyy")})
    output = run("main~1..main", "-o", "markdown")[1]
    assert MAX_COMMENT - 2000 < len(output) < 65_536
    assert "The rest is left out" in output


# -- validate, behind a pipe ------------------------------------------------------------------------------------------


@needs_kustomize
def test_validate_takes_what_kustomize_makes(repo: Repo) -> None:
    with_overlays(repo)
    command = ["kustomize", "build"] if shutil.which("kustomize") else ["kubectl", "kustomize"]
    built = subprocess.run([*command, "k/prod"], capture_output=True, text=True, check=True, timeout=60).stdout
    result = runner.invoke(app, ["validate", "-"], input=built)
    assert (result.exit_code, result.stdout) == (0, "2 objects in 1 file: 2 valid, 0 invalid\n")
    broken = runner.invoke(app, ["validate", "-"], input=built.replace("dependsOn", "dependson"))
    assert broken.exit_code == 1
    assert "strict decoding error" in broken.stdout
