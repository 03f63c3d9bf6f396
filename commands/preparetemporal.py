"""`keyfill prepare-temporal`: what Temporal must have before a first start; again is harmless."""

import asyncio
from datetime import timedelta
from typing import Annotated

import typer

from commands.opened import running_at
from commands.options import DEFAULT_HOME, Exit, Home, leave
from commands.temporal import target_of, temporal_errors
from settings import Settings, SettingsError


def prepare_temporal(
    home: Home = DEFAULT_HOME,
    days: Annotated[
        int, typer.Option("--keep-days", min=1, help="How long a new namespace keeps workflows.")
    ] = 30,
) -> None:
    """Make the namespace (KEYFILL_TEMPORAL_NAMESPACE) and register our search attributes."""
    from engine.namespace import prepare
    from engine.searchattributes import SearchAttributeMismatch, SearchAttributesNotVisible
    from engine.transport import TransportRefused

    try:
        target = target_of(running_at(home, Settings.unchecked(home=home)))
    except (SettingsError, TransportRefused) as error:
        leave(Exit.USAGE, f"{error}")
    try:
        with temporal_errors():
            made, registered = asyncio.run(prepare(target, timedelta(days=days)))
    except SearchAttributeMismatch as error:
        leave(Exit.USAGE, f"Remove or retype {error}.")
    except SearchAttributesNotVisible as error:
        leave(Exit.FAULT, f"Temporal does not list {error} yet; run this again.")
    typer.echo(f"Namespace {target.namespace}: {'made' if made else 'was there'}.")
    typer.echo(f"Search attributes registered: {', '.join(registered) or 'none, all were there'}.")
