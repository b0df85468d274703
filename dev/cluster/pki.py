"""The cluster's certificates: one authority, and a certificate for each component, by openssl.

Made once for a cluster's life, and good for ten years since the cluster does not live as long. Keys are readable by
their owner only.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.cluster.commands import run

_DAYS = "3650"


@dataclass(frozen=True)
class Identity:
    """Who a certificate speaks for: Kubernetes reads the user's name and groups from its subject."""

    name: str
    user: str
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """Subject alternative names, for those who serve: `DNS:...`, `IP:...`."""


class Authority:
    """The certificates of one cluster, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def certificate(self) -> Path:
        """The authority's own certificate."""
        return self._folder / "ca.crt"

    @property
    def key_file(self) -> Path:
        """The authority's key."""
        return self._folder / "ca.key"

    def crt(self, name: str) -> Path:
        """The certificate of an identity."""
        return self._folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        """The key of an identity, or `sa`, which signs service account tokens."""
        return self._folder / f"{name}.key"

    def issue(self, identities: Sequence[Identity]) -> None:
        """Make whatever certificates and keys are missing, and the pair `sa` that signs service account tokens."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.certificate.exists():
            self._make_authority()
        if not (self._folder / "sa.pub").exists():
            _new_key(self.key("sa"))
            run(["openssl", "pkey", "-in", self.key("sa"), "-pubout", "-out", self._folder / "sa.pub"])
        for identity in identities:
            if not self.crt(identity.name).exists():
                self._sign(identity)

    def kubeconfig(self, file: Path, name: str, server: str, cluster: str = "sluice") -> None:
        """Write a kubeconfig for the identity `name`. The certificates are inlined, as JSON, which is YAML too."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": cluster,
            "clusters": [
                {
                    "name": cluster,
                    "cluster": {"server": server, "certificate-authority-data": _base64(self.certificate)},
                }
            ],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": _base64(self.crt(name)),
                        "client-key-data": _base64(self.key(name)),
                    },
                }
            ],
            "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": name}}],
        }
        file.touch(mode=0o600)
        file.write_text(json.dumps(content, indent=2))

    def _make_authority(self) -> None:
        _new_key(self.key_file)
        extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
        self._write(
            self.certificate,
            [
                *(
                    "openssl",
                    "req",
                    "-x509",
                    "-new",
                    "-key",
                    self.key_file,
                    "-days",
                    _DAYS,
                    "-subj",
                    "/CN=sluice-cluster",
                ),
                *(word for extension in extensions for word in ("-addext", extension)),
            ],
        )

    def _sign(self, identity: Identity) -> None:
        _new_key(self.key(identity.name))
        subject = "".join(f"/O={group}" for group in identity.groups) + f"/CN={identity.user}"
        request = self._folder / f"{identity.name}.csr"
        extensions = self._folder / f"{identity.name}.ext"
        extensions.write_text(
            "keyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth,clientAuth\n"
            + (f"subjectAltName={','.join(identity.names)}\n" if identity.names else "")
        )
        run(["openssl", "req", "-new", "-key", self.key(identity.name), "-subj", subject, "-out", request])
        self._write(
            self.crt(identity.name),
            [
                *("openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key_file),
                *("-days", _DAYS, "-extfile", extensions, "-set_serial", f"0x{secrets.token_hex(16)}"),
            ],
        )
        request.unlink()
        extensions.unlink()

    def _write(self, target: Path, argv: Sequence[str | Path]) -> None:
        """A certificate appears whole or not at all, so that an interrupted start can go on."""
        temporary = target.with_suffix(".new")
        run([*argv, "-out", temporary])
        temporary.replace(target)


def _new_key(file: Path) -> None:
    # ECDSA: a dozen RSA keys take seconds to make.
    file.touch(mode=0o600)
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", file])


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
