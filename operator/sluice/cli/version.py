"""`sluice version`."""

from __future__ import annotations

import platform

import typer

from sluice import __version__
from sluice.api.names import API_VERSION


def version() -> None:
    """Print the version of this program and of the API that it speaks."""
    typer.echo(f"sluice {__version__} ({API_VERSION}), Python {platform.python_version()}")
