"""The connection to Temporal of a command, and its errors as messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from commands.options import Exit, leave
from settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client

    from engine.client import TemporalTarget

CONNECT_WITHIN: Final = timedelta(seconds=10)


async def client_of(settings: Settings, within: timedelta = CONNECT_WITHIN) -> "Client":
    """Connect to the deployment's Temporal; a command whose settings do not let it, ends.

    Raises:
        TemporalUnavailable: if it does not answer in time; zero means that it is asked once.
    """
    from engine.keyring import KeyRingError
    from engine.transport import TransportRefused

    try:
        return await connected(settings, within)
    except (KeyRingError, TransportRefused) as error:
        leave(Exit.USAGE, f"{error}")


async def connected(settings: Settings, within: timedelta) -> "Client":
    """Connect to the deployment's Temporal, by its TLS and with its payload keys.

    Raises:
        TemporalUnavailable: if it does not answer in time; zero means that it is asked once.
        KeyRingError, TransportRefused: if payload keys or TLS cannot be used.
        RPCError: if it refuses this client.
    """
    from engine.client import connect
    from engine.payloadcodec import codec_of

    target = target_of(settings)
    codec = codec_of(settings.payload_ring)
    return await connect(target, codec=codec, wait=within, identity="keyfill")


def target_of(settings: Settings) -> "TemporalTarget":
    """Where Temporal is, and how it is reached.

    Raises:
        TransportRefused: if TLS is needed and not set, or cannot be used.
    """
    from engine.client import TemporalTarget
    from engine.transport import transport_to

    address = settings.temporal_address
    transport = transport_to(address, required=settings.environment != "development")
    return TemporalTarget(address, settings.temporal_namespace, transport)


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
