"""Names that come from others, and end up in the arguments of git: repositories, branches, revisions.

What could be taken for an option, for another transport, or for another place is refused before git sees it.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final
from urllib.parse import urlsplit

from sluice.git.errors import BadAddress

PROTOCOLS: Final = ("https", "ssh")
"""Transports that are allowed unless a setting says more."""
KNOWN_PROTOCOLS: Final = (*PROTOCOLS, "http", "file")
LONGEST: Final = 2048

_SCP: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:(?!/)[^:]+")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-fA-F:]+")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_ODD: Final = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_REVISION: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCH: Final = re.compile(r"[^\x00-\x20\x7f~^:?*\[\\]{1,200}")
_NOT_IN_BRANCH: Final = re.compile(r"^[-/.]|\.\.|//|/\.|@\{|\.lock(/|$)|[/.]$|^@$")


def check_repository(url: str, protocols: Collection[str] = PROTOCOLS) -> str:
    """The protocol of a repository's URL, or of `user@host:path`. Raises BadAddress for any that is not allowed."""
    shown = repr(_without_user(url[:100]))
    if len(url) > LONGEST or _ODD.search(url):
        raise BadAddress(
            f"repository {shown}: must be at most {LONGEST} characters, without blanks or control characters"
        )
    if url.startswith("-") or "::" in url.partition("//")[0]:
        raise BadAddress(f"repository {shown}: must be a URL such as https://HOST/PATH")
    if _SCP.fullmatch(url):
        protocol, path = "ssh", url.partition(":")[2]
    else:
        protocol, path = _of_url(url, shown)
    if protocol not in protocols:
        raise BadAddress(f"repository {shown}: the protocol {protocol} is not allowed; use {' or '.join(protocols)}")
    if path.startswith("-") or re.search(r"%2[ef]", path, re.IGNORECASE) or ".." in path.split("/"):
        raise BadAddress(f"repository {shown}: the path must not begin with - and not lead upwards")
    return protocol


def _of_url(url: str, shown: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        host, user, password, _ = parts.hostname or "", parts.username, parts.password, parts.port
    except ValueError as error:
        raise BadAddress(f"repository {shown}: {error}") from None
    if parts.scheme not in KNOWN_PROTOCOLS:
        raise BadAddress(f"repository {shown}: must be a URL such as https://HOST/PATH")
    if parts.query or parts.fragment:
        raise BadAddress(f"repository {shown}: must have no ? and no #")
    if parts.scheme != "file" and (not _HOST.fullmatch(host) or ".." in host):
        raise BadAddress(f"repository {shown}: {host!r} is no name of a host")
    if password is not None or (user is not None and (parts.scheme != "ssh" or not _USER.fullmatch(user))):
        raise BadAddress(f"repository {shown}: must not hold a credential; name a Secret instead")
    if not parts.path.strip("/"):
        raise BadAddress(f"repository {shown}: must name a repository behind the host")
    return parts.scheme, parts.path


def _without_user(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


def is_within(url: str, prefixes: Sequence[str]) -> bool:
    """Whether a repository is one of `prefixes`, or below one that ends with `/`. `.git` at the end makes no difference."""
    asked = _plain(url)
    return any(asked == _plain(prefix) or (prefix.endswith("/") and asked.startswith(prefix)) for prefix in prefixes)


def same_repository(one: str, other: str) -> bool:
    """Whether two URLs are written for the same repository."""
    return _plain(one) == _plain(other)


def _plain(url: str) -> str:
    return url.rstrip("/").removesuffix(".git")


def check_branch(name: str) -> None:
    """Raises BadAddress unless `name` can be the name of a branch."""
    if not _BRANCH.fullmatch(name) or _NOT_IN_BRANCH.search(name):
        raise BadAddress(f"branch {name[:100]!r}: must be the name of a branch, such as main or release/2")


def check_revision(revision: str) -> None:
    """Raises BadAddress unless `revision` is the whole id of a commit."""
    if not _REVISION.fullmatch(revision):
        raise BadAddress(f"revision {revision[:80]!r}: must be the whole id of a commit, 40 or 64 hexadecimal digits")


def check_path(path: str) -> None:
    """Raises BadAddress unless `path` is that of a file or folder within a repository."""
    if len(path) > LONGEST or re.search(r"[\x00-\x1f\x7f]", path) or path.startswith("/") or ".." in path.split("/"):
        raise BadAddress(f"path {path[:100]!r}: must be a path within the repository, without .. in it")
