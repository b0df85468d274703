"""Names that come from others: what is let through to git, and what never is."""

import pytest

from sluice.git.addresses import check_branch, check_path, check_repository, check_revision, is_within
from sluice.git.errors import BadAddress


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("https://github.com/acme/apps", "https"),
        ("https://git.example.com:8443/a/b.git", "https"),
        ("https://[2001:db8::1]/a/b", "https"),
        ("https://dev.azure.com/acme/My%20Apps/_git/apps", "https"),
        ("ssh://git@github.com/acme/apps.git", "ssh"),
        ("git@github.com:acme/apps.git", "ssh"),
    ],
)
def test_repositories_by_https_and_ssh_are_allowed(url: str, protocol: str) -> None:
    assert check_repository(url) == protocol


@pytest.mark.parametrize(
    "url",
    [
        "",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=touch",
        "ext::sh -c touch% /tmp/x",
        "ext::sh",
        "fd::17",
        "https::https://github.com/acme/apps",
        "file:///etc",
        "/etc",
        "../apps",
        "apps",
        "http://github.com/acme/apps",
        "git://github.com/acme/apps",
        "ftp://github.com/acme/apps",
        "https://bot:hunter2@github.com/acme/apps",
        "https://token@github.com/acme/apps",
        "ssh://git:pw@github.com/acme/apps",
        "ssh://-oProxyCommand=touch/acme",
        "ssh://-oProxyCommand=x@host/acme",
        "-oProxyCommand=x@host:acme",
        "git@-oProxyCommand=x:acme",
        "git@host:-acme",
        "https:///acme",
        "https://github.com",
        "https://github.com/",
        "https://github.com/acme/../other",
        "https://github.com/acme/%2e%2e/other",
        "https://github.com/acme/apps?x=1",
        "https://github.com/acme/apps#main",
        "https://github.com/acme/apps\n",
        "https://github.com/acme\tapps",
        "https://github.com/acme\x00apps",
        "https://github.com\\@evil.example/acme",
        "https://a..b/acme",
        "https://github.com:port/acme",
        "https://github.com/" + "a" * 2048,
    ],
)
def test_what_could_be_an_option_another_transport_or_hold_a_credential_is_refused(url: str) -> None:
    with pytest.raises(BadAddress) as caught:
        check_repository(url)
    assert "hunter2" not in str(caught.value)


def test_other_protocols_are_allowed_by_a_setting_only() -> None:
    assert check_repository("file:///srv/apps.git", ("https", "file")) == "file"
    assert check_repository("http://127.0.0.1:8080/apps", ("http",)) == "http"
    with pytest.raises(BadAddress, match="the protocol ssh is not allowed; use https"):
        check_repository("git@github.com:acme/apps", ("https",))


@pytest.mark.parametrize(
    "name",
    ["", "-f", "/main", ".main", "a..b", "a//b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\", "@{1}", "@"],
)
def test_what_is_no_name_of_a_branch_is_refused(name: str) -> None:
    with pytest.raises(BadAddress, match="branch"):
        check_branch(name)


@pytest.mark.parametrize("name", ["x.lock", "x.lock/y", "main/", "main.", "a/.b", "a\nb", "+main", "a\x7f"])
def test_so_is_what_git_would_not_take(name: str) -> None:
    if name == "+main":
        check_branch(name)  # allowed by git, and only ever used behind refs/heads/
        return
    with pytest.raises(BadAddress, match="branch"):
        check_branch(name)


def test_branches_of_every_day_are_allowed() -> None:
    for name in ("main", "release/2.1", "sluice/revert-0123abcd", "feature/x_y", "größe"):
        check_branch(name)


@pytest.mark.parametrize("revision", ["main", "HEAD", "abc1234", "--output=/tmp/x", "g" * 40, "a" * 41, "A" * 40, ""])
def test_a_revision_is_the_whole_id_of_a_commit(revision: str) -> None:
    check_revision("0123456789abcdef" * 4)
    with pytest.raises(BadAddress, match="40 or 64"):
        check_revision(revision)


@pytest.mark.parametrize("path", ["/etc", "../x", "a/../../b", "a\nb", "a\x00"])
def test_a_path_stays_within_the_repository(path: str) -> None:
    check_path("apps/pricing")
    check_path(":(top)x")  # no magic: git is told to take paths literally
    with pytest.raises(BadAddress, match="path"):
        check_path(path)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://github.com/acme/apps", True),
        ("https://github.com/acme/apps.git", True),
        ("https://github.com/acme/apps/", True),
        ("https://github.com/acmeevil/apps", False),
        ("https://github.com/other/one", True),
        ("https://github.com/other/onemore", False),
        ("https://github.com.evil.example/acme/apps", False),
        ("git@github.com:acme/apps", False),
    ],
)
def test_which_repositories_a_setting_allows(url: str, allowed: bool) -> None:
    assert is_within(url, ["https://github.com/acme/", "https://github.com/other/one"]) is allowed
