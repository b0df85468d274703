"""Where a Canary is shown: a terminal, painted again and again, or a stream, which gets a line for each change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self

import typer
from rich.console import Console, RenderableType

from sluice.cli.canary_state import CanaryState
from sluice.cli.canary_view import changes, render
from sluice.cli.screens import Canvas, on_terminal


class CanaryScreen(Protocol):
    """A place to show a Canary."""

    canary: CanaryState | None
    """What is shown."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, canary: CanaryState) -> None:
        """Show this state of it."""

    def notify(self, text: str) -> None:
        """Say something beside."""


def _now() -> datetime:
    return datetime.now(UTC)


class CanaryLines:
    """One line for each change."""

    def __init__(self, write: Callable[[str], None] = typer.echo, now: Callable[[], datetime] = _now) -> None:
        self.canary: CanaryState | None = None
        self._write = write
        self._now = now

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, canary: CanaryState) -> None:
        """Write what has changed."""
        for line in changes(self.canary, canary, self._now()):
            self._write(line)
        self.canary = canary

    def notify(self, text: str) -> None:
        """To stderr, so that the lines stay what they are."""
        typer.echo(text, err=True)


class CanaryPainting(Canvas):
    """The one screen of a Canary, with a clock that runs."""

    def __init__(self, console: Console) -> None:
        self.canary: CanaryState | None = None
        super().__init__(console)

    def show(self, canary: CanaryState) -> None:
        """Paint this from now on."""
        self.canary = canary

    def draw(self, rows: int | None) -> RenderableType:
        """The screen; nothing before there is a Canary."""
        return render(self.canary, _now(), rows=rows) if self.canary is not None else ""


def make_canary_screen() -> CanaryScreen:
    """A painting when stdout is a terminal, else lines."""
    console = Console()
    return CanaryPainting(console) if on_terminal(console) else CanaryLines()


def print_canary(canary: CanaryState) -> None:
    """Print the one screen. Lines are as long as they are: whoever reads a pipe looks for whole lines."""
    Console(highlight=False).print(render(canary, _now()), soft_wrap=True)
