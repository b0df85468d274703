"""Where a run is shown: a terminal, painted again and again, or a stream, which gets a line for each change."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Protocol, Self

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from sluice.cli.run_state import RunState
from sluice.cli.tree import Place, changes, render

_FRAMES_PER_SECOND: Final = 4
_LINES_AROUND: Final = 6
"""Lines of the terminal that the steps cannot have: the title, `finally`, the prompt."""


class Screen(Protocol):
    """A place to show a run."""

    run: RunState | None
    """What is shown."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, run: RunState, places: tuple[Place, ...]) -> None:
        """Show this state of the run."""

    def notify(self, text: str) -> None:
        """Say something beside."""


def _now() -> datetime:
    return datetime.now(UTC)


class Lines:
    """One line for each change."""

    def __init__(self, write: Callable[[str], None] = typer.echo, now: Callable[[], datetime] = _now) -> None:
        self.run: RunState | None = None
        self._write = write
        self._now = now

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, run: RunState, places: tuple[Place, ...]) -> None:  # noqa: ARG002 - lines have no order but time
        """Write what has changed."""
        for line in changes(self.run, run, self._now()):
            self._write(line)
        self.run = run

    def notify(self, text: str) -> None:
        """To stderr, so that the lines stay what they are."""
        typer.echo(text, err=True)


class Canvas(ABC):
    """Something that is painted in place again and again, with clocks that run. The last picture stays.

    It is asked to draw as soon as it is made: what `draw` needs has to be there before `__init__` of this class.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ascii = not (console.encoding or "").lower().startswith("utf")
        self._live = Live(
            get_renderable=self._frame, console=console, refresh_per_second=_FRAMES_PER_SECOND, transient=True
        )

    @abstractmethod
    def draw(self, rows: int | None) -> RenderableType:
        """The picture, in at most so many rows besides what stands around them; None: in as many as it needs."""

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if picture := self.draw(None):
            self._console.print(picture)

    def notify(self, text: str) -> None:
        """Above the picture."""
        self._console.print(text, markup=False, highlight=False)

    def _frame(self) -> RenderableType:
        return self.draw(max(1, self._console.height - _LINES_AROUND))


class Painting(Canvas):
    """The tree of a run."""

    def __init__(self, console: Console) -> None:
        self.run: RunState | None = None
        self._places: tuple[Place, ...] = ()
        super().__init__(console)

    def show(self, run: RunState, places: tuple[Place, ...]) -> None:
        """Paint this from now on."""
        self.run, self._places = run, places

    def draw(self, rows: int | None) -> RenderableType:
        """The tree; nothing before there is a run."""
        if self.run is None:
            return ""
        return render(self.run, self._places, _now(), rows=rows, ascii_only=self._ascii)


def make_screen() -> Screen:
    """A painting when stdout is a terminal, else lines."""
    console = Console()
    return Painting(console) if on_terminal(console) else Lines()


def on_terminal(console: Console) -> bool:
    """Whether there is somebody to paint for."""
    return console.is_terminal and sys.stdout.isatty()
