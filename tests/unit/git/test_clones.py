"""Clones of real repositories, over HTTP from git's own server: what is read, what it costs, and how it fails."""

import base64
import os
import socket
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sluice.git import errors
from sluice.git.clones import Clones
from sluice.git.credentials import Credential
from sluice.git.process import Limits, size_of
from tests.unit.git.git_server import GitServer, Person, git

HTTP = ("http",)


def secret(**texts: str) -> Credential:
    data = {key.replace("_", "-", 1) if key == "ssh_privatekey" else key: text for key, text in texts.items()}
    return Credential.of_secret("repo", {key: base64.b64encode(text.encode()).decode() for key, text in data.items()})


def test_a_commit_is_read_with_author_first_line_and_time(clones: Clones, url: str, person: Person) -> None:
    first = person.commit("Begin", a="1")
    wanted = person.commit("Sell \x1b[31mapples\n\nAnd pears.", a="2")
    person.commit("Later", a="3")
    person.push()
    found = clones.commit(url, wanted)
    assert (found.id, found.author, found.message) == (wanted, "Asha Rao", "Sell [31mapples")
    assert abs(found.time - datetime.now(UTC)) < timedelta(minutes=5)
    assert clones.commit(url, first).message == "Begin"


def test_only_that_commit_is_fetched_and_no_file(clones: Clones, url: str, person: Person, tmp_path: Path) -> None:
    person.write("big", os.urandom(3 << 20).hex())
    wanted = person.commit("Something large")
    person.push()
    clones.commit(url, wanted)
    assert size_of(tmp_path / "cache") < 200_000


def test_a_branch_is_read_without_the_content_of_its_files(
    clones: Clones, url: str, person: Person, tmp_path: Path
) -> None:
    for number in range(5):
        person.write("big", os.urandom(1 << 20).hex())
        person.commit(f"Number {number}")
    person.push()
    with clones.branch(url, "main") as branch:
        assert [entry.subject for entry in branch.entries()] == [f"Number {number}" for number in range(4, -1, -1)]
        assert branch.tip == git(person.folder, "rev-parse", "HEAD")
    assert size_of(tmp_path / "cache") < 300_000


def test_what_touches_a_path_is_told_also_across_merges(clones: Clones, url: str, person: Person) -> None:
    person.commit("Begin")
    person.write("apps/pricing/kustomization.yaml", "1")
    pricing = person.commit("Pricing")
    person.write("apps/other/kustomization.yaml", "1")
    other = person.commit("Other")
    git(person.folder, "checkout", "-q", "-b", "side")
    person.write("apps/pricing/kustomization.yaml", "2")
    person.commit("On the side")
    git(person.folder, "checkout", "-q", "main")
    git(person.folder, "merge", "-q", "--no-ff", "-m", "Merge it", "side")
    git(person.folder, "push", "-q", "origin", "main")
    merge = git(person.folder, "rev-parse", "HEAD")
    with clones.branch(url, "main") as branch:
        rows = {entry.id: entry.touches for entry in branch.entries(["apps/pricing/"])}
        assert (rows[merge], rows[other], rows[pricing]) == (True, False, True)
        assert len(rows) == 4
        assert branch.changed_by(merge) == ("apps/pricing/kustomization.yaml",)


def test_a_name_with_magic_for_git_is_only_a_name(clones: Clones, url: str, person: Person) -> None:
    person.commit("Begin", a="1")
    person.push()
    with clones.branch(url, "main") as branch:
        assert not any(entry.touches for entry in branch.entries([":(top)a", ":!b", "*"]))


def test_a_password_is_sent_and_shown_nowhere(
    server: GitServer, clones: Clones, url: str, person: Person, tmp_path: Path
) -> None:
    wanted = person.commit("Begin", a="1")
    person.push()
    server.password = "correct-horse-battery"
    with pytest.raises(errors.Refused):
        clones.commit(url, wanted)
    with pytest.raises(errors.Refused) as caught:
        clones.commit(url, wanted, secret(username="bot", password="wrong-horse-staple"))
    assert "wrong-horse" not in str(caught.value)
    seen: list[str] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.append(subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False).stdout)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert clones.commit(url, wanted, secret(username="bot", password="correct-horse-battery")).id == wanted
    finally:
        stop.set()
        watcher.join()
    encoded = base64.b64encode(b"bot:correct-horse-battery").decode()
    assert seen
    assert not any("correct-horse" in text or encoded in text for text in seen)
    for path in (tmp_path / "cache").rglob("*"):
        assert not path.is_file() or (
            b"correct-horse" not in path.read_bytes() and encoded.encode() not in path.read_bytes()
        )


def test_what_one_credential_has_read_another_does_not_find(
    server: GitServer, clones: Clones, url: str, person: Person
) -> None:
    wanted = person.commit("Secret plans", a="1")
    person.push()
    server.password = "correct-horse-battery"
    clones.commit(url, wanted, secret(username="bot", password="correct-horse-battery"))
    with pytest.raises(errors.Refused):
        clones.commit(url, wanted)


def test_a_revision_a_branch_and_a_repository_that_are_not_there(clones: Clones, url: str, person: Person) -> None:
    person.commit("Begin", a="1")
    person.push()
    with pytest.raises(errors.NotThere):
        clones.commit(url, "1" * 40)
    with pytest.raises(errors.NotThere), clones.branch(url, "no-such"):
        pass
    with pytest.raises(errors.NotThere):
        clones.commit(url.replace("apps", "nothing"), "1" * 40)


def test_a_server_that_is_away(clones: Clones) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(errors.Unreachable, match=f"127.0.0.1:{port}"):
        clones.commit(f"http://127.0.0.1:{port}/apps.git", "1" * 40)


def test_a_server_that_does_not_answer_is_given_up_with_all_its_processes(
    server: GitServer, url: str, tmp_path: Path
) -> None:
    clones = Clones(tmp_path / "cache", protocols=HTTP, limits=Limits(seconds=1))
    server.paused.set()
    began = time.monotonic()
    with pytest.raises(errors.TooSlow, match="longer than 1 s"):
        clones.commit(url, "1" * 40)
    assert time.monotonic() - began < 5
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert url not in running


def test_a_redirect_is_not_followed(
    server: GitServer, clones: Clones, url: str, person: Person, tmp_path: Path
) -> None:
    person.commit("Begin", a="1")
    person.push()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = GitServer(elsewhere)
    try:
        server.answer = (301, {"Location": f"{other.url}/apps.git/info/refs?service=git-upload-pack"})
        with pytest.raises(errors.GitError, match="301"):
            clones.commit(url, "1" * 40, secret(username="bot", password="correct-horse-battery"))
        assert other.requests == []
    finally:
        other.close()


def test_a_repository_that_is_too_large_is_given_up_and_removed(
    server: GitServer, url: str, person: Person, tmp_path: Path
) -> None:
    for number in range(8):
        person.write(f"big-{number}", os.urandom(1 << 20).hex())
    person.commit("Much")
    person.push()
    git(server.folder / "apps.git", "config", "uploadpack.allowFilter", "false")
    clones = Clones(tmp_path / "cache", protocols=HTTP, limits=Limits(clone_bytes=2 << 20))
    with pytest.raises(errors.TooLarge, match="2 MiB"), clones.branch(url, "main"):
        pass
    assert size_of(tmp_path / "cache") == 0


def test_the_cache_is_bounded_and_the_oldest_go_first(server: GitServer, tmp_path: Path) -> None:
    urls = []
    for name in ("one", "two", "three"):
        urls.append(server.repository(name))
        person = Person(tmp_path / name, server.folder / f"{name}.git")
        person.write("file", os.urandom(200_000).hex())
        person.commit("Begin")
        person.push()
    cache = tmp_path / "cache"
    git(server.folder / "one.git", "config", "uploadpack.allowFilter", "false")
    clones = Clones(cache, protocols=HTTP, limits=Limits(cache_bytes=150_000))
    for url in urls:
        with clones.branch(url, "main"):
            pass
        time.sleep(0.02)
    with clones.branch(urls[2], "main"):
        kept = {folder.name for folder in cache.iterdir() if any(folder.iterdir())}
    assert len(kept) == 2  # the first was large: it and nothing else had to go
    old = Clones(cache, protocols=HTTP, limits=Limits(keep_seconds=0))
    with old.branch(urls[0], "main"):
        assert len([folder for folder in cache.iterdir() if folder.exists()]) == 1


def test_hooks_and_settings_of_the_machine_have_no_part(
    clones: Clones, url: str, person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = person.commit("Begin", a="1")
    person.push()
    settings = tmp_path / "gitconfig"
    settings.write_text(f'[url "file:///nowhere/"]\n\tinsteadOf = {url}\n[core]\n\tsshCommand = /bin/false\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert clones.commit(url, wanted).id == wanted


def test_threads_that_ask_for_one_repository_wait_for_each_other(clones: Clones, url: str, person: Person) -> None:
    ids = [person.commit(f"Number {number}", a=str(number)) for number in range(6)]
    person.push()
    found: dict[str, Any] = {}
    threads = [
        threading.Thread(target=lambda one=one: found.update({one: clones.commit(url, one).message})) for one in ids
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[one] for one in ids] == [f"Number {number}" for number in range(6)]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({}, "must have username and password"),
        ({"username": "bot"}, "must have username and password"),
        ({"ssh_privatekey": "KEY"}, "needs known_hosts"),
        ({"username": "a:b", "password": "x"}, "without :"),
        ({"username": "bot", "password": "a\nb"}, "one line"),
    ],
)
def test_a_secret_that_is_no_credential_is_refused_with_its_name(texts: dict[str, str], said: str) -> None:
    with pytest.raises(errors.BadAddress, match=said) as caught:
        secret(**texts)
    assert 'Secret "repo"' in str(caught.value)


def test_a_key_for_ssh_is_in_a_file_of_its_own_while_git_runs(tmp_path: Path) -> None:
    credential = secret(ssh_privatekey="KEY", known_hosts="github.com ssh-ed25519 AAAA")
    with credential.ssh_command() as command:
        key = Path(command.partition("IdentityFile=")[2].split()[0])
        assert key.read_text() == "KEY\n"
        assert key.stat().st_mode & 0o777 == 0o600
        assert "StrictHostKeyChecking=yes" in command
        assert "KEY" not in command
    assert not key.exists()
    assert "KEY" not in repr(credential)
