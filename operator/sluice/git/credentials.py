"""What a Secret holds for a repository, and how git is told: by its environment, never by an argument or a URL."""

import base64
import binascii
import hashlib
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from sluice.git.errors import BadAddress


@dataclass(frozen=True)
class Credential:
    """A user name and a password or token for HTTP, or a private key for ssh. The default is to have none."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    known_hosts: str = field(default="", repr=False)

    @classmethod
    def of_secret(cls, name: str, data: Mapping[str, str]) -> "Credential":
        """From the data of a Secret, in base64: `username` and `password` as in kubernetes.io/basic-auth, or
        `ssh-privatekey` as in kubernetes.io/ssh-auth with `known_hosts`. Raises BadAddress."""
        texts = {key: _text(name, key, data[key]) for key in _KEYS if key in data}
        found = cls(*(texts.get(key, "") for key in _KEYS))
        if found.private_key and not found.known_hosts:
            raise BadAddress(f'Secret "{name}": ssh-privatekey needs known_hosts beside it, or any server would do')
        if not found.private_key and not found.password:
            raise BadAddress(f'Secret "{name}": must have username and password, or ssh-privatekey and known_hosts')
        if "\n" in found.username + found.password or ":" in found.username:
            raise BadAddress(f'Secret "{name}": username and password must be one line each, and username without :')
        return found

    @property
    def fingerprint(self) -> str:
        """What tells one credential from another, and nothing of what it is."""
        parts = (self.username, self.password, self.private_key, self.known_hosts)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that nobody must see."""
        return tuple(text for text in (self.password, self._basic if self.password else "") if text)

    @property
    def _basic(self) -> str:
        return base64.b64encode(f"{self.username or 'git'}:{self.password}".encode()).decode()

    def settings(self, protocol: str) -> dict[str, str]:
        """Settings of git that send it."""
        if protocol not in ("http", "https") or not self.password:
            return {}
        return {"http.extraHeader": f"Authorization: Basic {self._basic}"}

    @contextmanager
    def ssh_command(self) -> Iterator[str]:
        """How git calls ssh: with this key alone, only to hosts that are known, without asking anybody."""
        with TemporaryDirectory(prefix="sluice-ssh-") as folder:
            key, hosts = Path(folder, "key"), Path(folder, "known_hosts")
            for path, text in ((key, self.private_key), (hosts, self.known_hosts)):
                path.touch(mode=0o600)
                path.write_text(text.rstrip("\n") + "\n")
            options = {
                "BatchMode": "yes",
                "StrictHostKeyChecking": "yes",
                "UserKnownHostsFile": str(hosts),
                "GlobalKnownHostsFile": "/dev/null",
                "IdentitiesOnly": "yes",
                "IdentityFile": str(key),
                "IdentityAgent": "none",
                "ConnectTimeout": "10",
            }
            given = [text for name, value in options.items() for text in ("-o", f"{name}={value}")]
            yield shlex.join(["ssh", "-F", "/dev/null", *given])


_KEYS = ("username", "password", "ssh-privatekey", "known_hosts")
"""Keys of a Secret, in the order of the fields."""
NO_CREDENTIAL = Credential()


def _text(name: str, key: str, value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().strip("\r\n")
    except (binascii.Error, UnicodeDecodeError):
        raise BadAddress(f'Secret "{name}": the value of {key} is not text') from None
