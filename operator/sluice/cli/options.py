"""The options that every verb with a cluster has. They can stand before the verb or behind it; behind wins."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

_PANEL = "Cluster"
_KUBECONFIG = "$KUBECONFIG, ~/.kube/config"

Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NS",
        rich_help_panel=_PANEL,
        help="Namespace.",
        show_default="that of the kubeconfig's context",
    ),
]
Kubeconfig = Annotated[
    str | None,
    typer.Option(metavar="FILE", rich_help_panel=_PANEL, help="Kubeconfig.", show_default=_KUBECONFIG),
]
Context = Annotated[
    str | None,
    typer.Option(metavar="NAME", rich_help_panel=_PANEL, help="Context of it.", show_default="the current one"),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", rich_help_panel=_PANEL, help="Log what is done, to stderr.")]
AllNamespaces = Annotated[
    bool, typer.Option("--all-namespaces", "-A", rich_help_panel=_PANEL, help="In all namespaces.")
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of a PipelineRun.")]
Timeout = Annotated[
    str | None, typer.Option(metavar="TIME", help="Stop waiting after this time, such as 90s or 2h; the run goes on.")
]


class Output(StrEnum):
    """Forms of an answer."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


@dataclass(frozen=True)
class Place:
    """Which cluster and namespace; what is None is the kubeconfig's."""

    namespace: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    verbose: bool = False

    @classmethod
    def of(
        cls,
        ctx: typer.Context,
        *,
        namespace: str | None = None,
        kubeconfig: str | None = None,
        context: str | None = None,
        verbose: bool = False,
    ) -> Place:
        """What stands behind the verb, over what stands before it."""
        before = ctx.obj if isinstance(ctx.obj, cls) else cls()
        return cls(
            namespace=namespace or before.namespace,
            kubeconfig=kubeconfig or before.kubeconfig,
            context=context or before.context,
            verbose=verbose or before.verbose,
        )
