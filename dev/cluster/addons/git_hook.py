"""The post-receive hook of the repositories of git_server.py: tells Argo CD of each push, in GitHub's words, so that it
looks at once and not at its next round. A program of its own: python3 git_hook.py WEBHOOK[,WEBHOOK...] SERVER < UPDATES

It is run in the repository. A push has happened by then, so what goes wrong here is said and fails nothing.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_SECONDS = 10


def payload(update: str, repository: str) -> dict[str, Any]:
    """A push event about `OLD NEW REF`, in the repository with this URL. No files are named, so all may have changed."""
    before, after, ref = update.split()
    return {
        "ref": ref,
        "before": before,
        "after": after,
        "repository": {"html_url": repository, "default_branch": "main"},
        "commits": [],
    }


def main(webhooks: str, server: str) -> None:
    """Tell each webhook of each update on standard input."""
    repository = f"{server}/{Path.cwd().name.removesuffix('.git')}"
    for update in sys.stdin:
        body = json.dumps(payload(update, repository)).encode()
        for webhook in webhooks.split(","):
            _tell(webhook, body)


def _tell(webhook: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "push"}
    try:
        urllib.request.urlopen(urllib.request.Request(webhook, body, headers), timeout=_SECONDS).close()
    except (urllib.error.URLError, OSError) as error:
        print(f"Argo CD was not told of this push: {webhook}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
