"""How to reach the API server and who we are: configuration, TLS and credentials, taken from `kubernetes.aio`.

Only this module and the client touch the library. It loads the kubeconfig or the service account, makes the TLS context
and refreshes tokens. What is changed, by the two factory methods that it documents as places to override:

- `trust_env` is off. With it, aiohttp reads .netrc and the proxy variables in two threads for every request, and a
  .netrc could answer for the API server's host. The proxy variables are read once instead, when the configuration names
  no proxy.
- The number of connections is not limited here, since the client's limiter counts requests and watches stay open; idle
  ones are kept for 75 s instead of 15 s, which saves TLS handshakes of about 5 ms between two bursts of work.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from sluice.kube.clock import Clock, SystemClock
from sluice.kube.errors import Attempt, NotConfigured
from sluice.telemetry.logs import get_logger

CONNECT_TIMEOUT: Final = 5.0
"""Seconds for TCP and TLS together."""

log = get_logger(__name__)

_KEEP_IDLE_SECONDS: Final = 75.0
_TOKEN_REFRESH_SECONDS: Final = 60.0
_READ_BUFFER_BYTES: Final = 1 << 20
_LOADING: Final = Attempt("load", "cluster configuration")


class Connection:
    """A pool of connections to one API server, and the Authorization header for the next request."""

    def __init__(self, configuration: Configuration) -> None:
        if configuration.proxy is None:
            configuration.proxy = _proxy_from_environment(configuration.host)
        self.host: str = configuration.host.rstrip("/")
        self._configuration = configuration
        self._transport = _Transport(configuration)
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    async def load(
        cls, *, kubeconfig: str | None = None, context: str | None = None, clock: Clock | None = None
    ) -> Connection:
        """The connection named by `kubeconfig`, else by $KUBECONFIG, else by the pod we run in, else by ~/.kube/config.

        Raises NotConfigured when there is none or when it cannot be read.
        """
        path = kubeconfig or os.environ.get("KUBECONFIG")
        if not path and "KUBERNETES_SERVICE_HOST" in os.environ and context is None:
            return cls(_in_cluster())
        path = path or str(Path.home() / ".kube" / "config")
        return cls(await _from_kubeconfig(path, context, clock or SystemClock()))

    async def authorization(self) -> str | None:
        """The value of the Authorization header, refreshed when it is due; None for client certificates and plain
        HTTP."""
        setting = (await self._configuration.auth_settings()).get("BearerToken")
        return setting["value"] if setting is not None else None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The pooled session; made on first use, inside the event loop."""
        if self._session is None:
            self._session = self._transport.open()
        return self._session

    @property
    def request_options(self) -> dict[str, Any]:
        """What every request on the session needs: proxy and TLS server name."""
        options: dict[str, Any] = {}
        if self._configuration.proxy:
            options["proxy"] = self._configuration.proxy
            if self._configuration.proxy_headers:
                options["proxy_headers"] = self._configuration.proxy_headers
        if self._configuration.tls_server_name:
            options["server_hostname"] = self._configuration.tls_server_name
        return options

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class _Transport(RESTClientObject):
    """The library's TLS settings with our session."""

    def open(self) -> aiohttp.ClientSession:
        return self._create_pool_manager()

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(ssl=self.ssl_context, limit=0, keepalive_timeout=_KEEP_IDLE_SECONDS)

    def _create_pool_manager(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self._create_connector(),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ_BUFFER_BYTES,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
        )


def _in_cluster() -> Configuration:
    configuration = Configuration()
    try:
        load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise NotConfigured(_LOADING, f"in the pod's service account: {error}") from error
    return configuration


async def _from_kubeconfig(path: str, context: str | None, clock: Clock) -> Configuration:
    if not _any_file(path):
        raise NotConfigured(_LOADING, f"no kubeconfig at {path}, and not running in a pod")

    async def read(into: Configuration) -> None:
        try:
            await load_kube_config(  # type: ignore[no-untyped-call]
                path, context=context, client_configuration=into, persist_config=False
            )
        except (ConfigException, yaml.YAMLError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotConfigured(_LOADING, f"in {path}: {type(error).__name__}: {error}") from error

    configuration = Configuration()
    await read(configuration)
    if "BearerToken" in configuration.api_key:
        configuration.refresh_api_key_hook = _token_refresh(read, clock)  # type: ignore[assignment]
    return configuration


def _any_file(paths: str) -> bool:
    return any(Path(file).expanduser().is_file() for file in paths.split(os.pathsep) if file)


def _token_refresh(
    read: Callable[[Configuration], Awaitable[None]], clock: Clock
) -> Callable[[Configuration], Awaitable[None]]:
    """Read the kubeconfig again once a minute: token files rotate, and exec plug-ins and identity providers give
    short-lived tokens.

    (In a pod the library's own hook does this for the service account.)
    """
    due = clock.monotonic() + _TOKEN_REFRESH_SECONDS

    async def refresh(configuration: Configuration) -> None:
        nonlocal due
        now = clock.monotonic()
        if now < due:
            return
        due = now + _TOKEN_REFRESH_SECONDS
        fresh = Configuration()
        try:
            await read(fresh)
        except NotConfigured as error:
            log.warning("credentials not refreshed, the earlier ones stay in use", error=str(error))
        else:
            configuration.api_key.update(fresh.api_key)

    return refresh


def _proxy_from_environment(host: str) -> str | None:
    """What HTTPS_PROXY, HTTP_PROXY and NO_PROXY say about the API server."""
    parts = urlsplit(host)
    proxy = urllib.request.getproxies_environment().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return None
    return proxy
