"""The connection to Temporal of a command, and its errors as messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from commands.options import Exit, leave
from settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client

CONNECT_WITHIN: Final = timedelta(seconds=10)


async def client_of(settings: Settings, within: timedelta = CONNECT_WITHIN) -> "Client":
    """Connect to the deployment's Temporal.

    Raises:
        TemporalUnavailable: if it does not answer in time; zero means that it is asked once.
    """
    from engine.client import TemporalTarget, connect

    return await connect(
        TemporalTarget(settings.temporal_address, settings.temporal_namespace),
        wait=within,
        identity="keyfill",
    )


@contextmanager
def temporal_errors() -> Iterator[None]:
    """End the command with a sentence if Temporal is away or a workflow failed."""
    from temporalio.client import WorkflowFailureError
    from temporalio.service import RPCError

    from engine.client import TemporalUnavailable

    try:
        yield
    except TemporalUnavailable as error:
        leave(Exit.UNAVAILABLE, f"{error}.")
    except WorkflowFailureError as error:
        cause = error.cause
        while cause.__cause__ is not None:
            cause = cause.__cause__
        leave(Exit.FAULT, f"The workflow failed: {cause}.")
    except RPCError as error:
        leave(Exit.UNAVAILABLE, f"Temporal answered {error.status.name}.")
