"""What the operator is started with: environment variables, set by the chart. A bad one stops the start with its
name."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import yaml
from pydantic import ValidationError

from sluice.api.pod_template import PodTemplate
from sluice.git.addresses import KNOWN_PROTOCOLS, PROTOCOLS

LogFormat = Literal["json", "console"]
WebhookMode = Literal["self-signed", "files", "off"]


class BadSetting(ValueError):
    """A variable has a value that is not allowed."""


@dataclass(frozen=True)
class Settings:
    """See each field's variable in `from_environment`."""

    namespaces: tuple[str, ...]
    """Namespaces to look after; () means all."""
    own_namespace: str
    own_name: str
    own_user: str
    """User name of the operator at the API server."""
    lease: str
    """Name of the lease, in its own namespace, without which it writes nothing; empty: nobody else writes, and there is none."""
    log_format: LogFormat
    log_level: str
    metrics_port: int
    api_qps: float
    """API requests a second, on average."""
    api_burst: int
    workers: int
    """Objects looked at side by side."""
    canaries_at_once: int
    """Canaries under way side by side."""
    git_folder: Path
    """Where clones of repositories are kept."""
    git_repositories: tuple[str, ...]
    """The repositories that may be asked, or what their URLs begin with."""
    git_protocols: tuple[str, ...]
    argocd_namespace: str
    """Namespace of Argo CD's Applications; empty: they are not asked."""
    pod_template: PodTemplate | None
    gate_image: str
    """Image of the pods that evaluate the data checks of gates."""
    webhook_mode: WebhookMode
    webhook_port: int
    webhook_cert_dir: Path
    webhook_config: str
    """Name of the webhook configurations whose caBundle is kept up to date."""
    webhook_service: str

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """The settings in `env` (default: the process's own). Raises BadSetting."""
        env = os.environ if env is None else env
        return cls(
            namespaces=_list(env, "SLUICE_NAMESPACES"),
            own_namespace=env.get("POD_NAMESPACE", "sluice-system"),
            own_name=env.get("POD_NAME", "sluice"),
            own_user=(
                f"system:serviceaccount:{env.get('POD_NAMESPACE', 'sluice-system')}:"
                f"{env.get('SLUICE_SERVICE_ACCOUNT', 'sluice')}"
            ),
            lease=env.get("SLUICE_LEASE", ""),
            canaries_at_once=_whole(env, "SLUICE_CANARIES_AT_ONCE", 100, 1, 10_000),
            log_format=_choice(env, "SLUICE_LOG_FORMAT", "json", get_args(LogFormat)),  # type: ignore[arg-type]
            log_level=_choice(env, "SLUICE_LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
            metrics_port=_whole(env, "SLUICE_METRICS_PORT", 8080, 1, 65535),
            api_qps=_number(env, "SLUICE_API_QPS", 200, 1, 10_000),
            api_burst=_whole(env, "SLUICE_API_BURST", 400, 1, 10_000),
            workers=_whole(env, "SLUICE_WORKERS", 16, 1, 256),
            git_folder=Path(env.get("SLUICE_GIT_FOLDER", "") or Path(tempfile.gettempdir(), "sluice-git")),
            git_repositories=_list(env, "SLUICE_GIT_REPOSITORIES"),
            git_protocols=_choices(env, "SLUICE_GIT_PROTOCOLS", PROTOCOLS, KNOWN_PROTOCOLS),
            argocd_namespace=env.get("SLUICE_ARGOCD_NAMESPACE", ""),
            pod_template=_pod_template(env.get("SLUICE_POD_TEMPLATE_FILE", "")),
            gate_image=env.get("SLUICE_GATE_IMAGE", "") or "sluice-gate",
            webhook_mode=_choice(env, "SLUICE_WEBHOOK_MODE", "off", get_args(WebhookMode)),  # type: ignore[arg-type]
            webhook_port=_whole(env, "SLUICE_WEBHOOK_PORT", 9443, 1, 65535),
            webhook_cert_dir=Path(env.get("SLUICE_WEBHOOK_CERT_DIR", "/var/run/sluice/webhook-certs")),
            webhook_config=env.get("SLUICE_WEBHOOK_CONFIG", "sluice"),
            webhook_service=env.get("SLUICE_WEBHOOK_SERVICE", "sluice-webhook"),
        )


def _choice(env: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = env.get(name, "").lower() or default
    if value not in allowed:
        raise BadSetting(f'{name}: "{value}" is not allowed; use one of {", ".join(allowed)}')
    return value


def _list(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in env.get(name, "").split(",") if part.strip())


def _choices(env: Mapping[str, str], name: str, default: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    values = _list(env, name) or default
    for value in values:
        if value not in allowed:
            raise BadSetting(f'{name}: "{value}" is not allowed; use some of {", ".join(allowed)}')
    return values


def _number(env: Mapping[str, str], name: str, default: float, least: float, most: float) -> float:
    text = env.get(name, "")
    try:
        value = float(text or default)
    except ValueError:
        raise BadSetting(f'{name}: "{text}" is not a number') from None
    if not least <= value <= most:
        raise BadSetting(f"{name}: {text} must be from {least:g} to {most:g}")
    return value


def _whole(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    value = _number(env, name, default, least, most)
    if not value.is_integer():
        raise BadSetting(f"{name}: {env[name]} is not a whole number")
    return int(value)


def _pod_template(path: str) -> PodTemplate | None:
    if not path:
        return None
    try:
        raw = yaml.safe_load(Path(path).read_text()) or {}
        return PodTemplate.model_validate(raw) if raw else None
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise BadSetting(f"SLUICE_POD_TEMPLATE_FILE: {path}: {error}") from error
