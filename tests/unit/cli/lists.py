"""An API server on the loopback address that answers lists, and the program against it."""

from pathlib import Path
from typing import Any

from aiohttp import web

from tests.unit.cli.program import program
from tests.unit.kube.loopback_api import Loopback, status_object

CANARIES = "/apis/sluice.dev/v1alpha1/canaries"
PIPELINES = "/apis/sluice.dev/v1alpha1/datapipelines"
DEPLOYMENTS = "/apis/apps/v1/deployments"
APPLICATIONS = "/apis/argoproj.io/v1alpha1/applications"


class Lists(Loopback):
    """Objects by the path of their list in all namespaces. What is not there is a kind that the cluster does not know."""

    def __init__(self, **lists: list[dict[str, Any]]) -> None:
        """`lists` by the plural of the kind."""
        super().__init__()
        paths = {path.rpartition("/")[2]: path for path in (CANARIES, PIPELINES, DEPLOYMENTS, APPLICATIONS)}
        self.lists = {paths[plural]: items for plural, items in lists.items()}
        self.forbidden: set[str] = set()
        """Plurals of kinds that may not be listed."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert request.method == "GET", "nothing is written"
        parts = request.path.split("/")
        namespace = parts[-2] if parts[-3] == "namespaces" else None
        path = "/".join(parts[:-3] + parts[-1:]) if namespace is not None else request.path
        if parts[-1] in self.forbidden:
            message = f'{parts[-1]} is forbidden: User "asha" cannot list resource "{parts[-1]}"'
            return web.json_response(status_object(403, "Forbidden", message), status=403)
        if path not in self.lists:
            message = "the server could not find the requested resource"
            return web.json_response(status_object(404, "NotFound", message), status=404)
        items = [obj for obj in self.lists[path] if namespace in (None, obj["metadata"]["namespace"])]
        return web.json_response({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": items})


async def sluice(api: Lists, folder: Path, *arguments: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of the program, which is in namespace data and in UTC."""
    return await program(api.url, folder, *arguments, TZ="UTC")
