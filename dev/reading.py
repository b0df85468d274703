"""Reading from the API server without a program for each look. Demos and tests look several times a second, some side by
side, and to start kubectl for each look is most of what a small machine has to do then."""

from functools import cache
from pathlib import Path
from typing import Any

from kubernetes import config

Manifest = dict[str, Any]
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class NotThere(AssertionError):
    """What was asked for is not there, or may not be read."""


class Api:
    """The API server of a kubeconfig. Kinds are named as for kubectl: `canary`, `canaries`, `hpa`, `pods`."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
        self._paths: dict[str, tuple[str, str, bool]] = {}
        """By each name of a kind: what its path begins with, its plural, and whether it is in namespaces."""

    def get(self, namespace: str, kind: str, name: str) -> Manifest:
        """One object. Raises NotThere."""
        return self._ask(f"{self._path(namespace, kind)}/{name}")

    def all_of(self, namespace: str, kinds: str, selector: str = "") -> list[Manifest]:
        """All objects of a kind, or of several with commas between, with these labels. As by kubectl, each says its own kind.

        Raises NotThere.
        """
        rows = []
        for kind in kinds.split(","):
            found = self._ask(self._path(namespace, kind), labelSelector=selector)
            head = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
            rows += [{**head, **row} for row in found["items"]]
        return rows

    def _path(self, namespace: str, kind: str) -> str:
        if kind not in self._paths:
            self._discover()
        if kind not in self._paths:
            raise NotThere(f"the API server has no {kind!r}")
        begin, plural, namespaced = self._paths[kind]
        return f"{begin}/namespaces/{namespace}/{plural}" if namespaced else f"{begin}/{plural}"

    def _discover(self) -> None:
        for root in ("/api", "/apis"):
            for group in self._ask(root, accept=DISCOVERY)["items"]:
                name = group["metadata"].get("name", "")
                for version in group["versions"]:
                    begin = "/".join(part for part in (root, name, version["version"]) if part)
                    for row in version["resources"]:
                        place = begin, row["resource"], row["scope"] == "Namespaced"
                        words = [row["resource"], row.get("singularResource", ""), *row.get("shortNames", ())]
                        # The first that has a name is the one that kubectl means by it.
                        for word in (*words, f"{row['resource']}.{name}"):
                            self._paths.setdefault(word, place)

    def _ask(self, path: str, accept: str = "application/json", **query: str) -> Manifest:
        headers = {**self._client.default_headers, "Accept": accept}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, "GET", None)
        url = f"{self._client.configuration.host}{path}"
        fields = {name: text for name, text in query.items() if text}
        answer = self._client.rest_client.pool_manager.request("GET", url, fields=fields, headers=headers, timeout=60)
        if answer.status != 200:
            raise NotThere(f"{path}: {answer.status}: {answer.data.decode(errors='replace')[:500]}")
        found: Manifest = answer.json()
        return found


@cache
def api_of(kubeconfig: Path) -> Api:
    """One for the process: its connections are kept."""
    return Api(kubeconfig)
