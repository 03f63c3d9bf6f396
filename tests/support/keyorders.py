"""Officers' orders about a key, drawn up and signed as `keyfill keys` does, or bent."""

from typing import Any

from ceremony.keys import SigningKey
from ceremony.messages import KeyOrderNote
from ceremony.registry import seal_envelope
from ceremony.signing import sign
from ceremony.statements import KeyOrderPayload
from tests.support.world import World


def order_of(world: World, order: str, **fields: Any) -> KeyOrderPayload:
    """An order about a request's key of the world's terminal, unless bent."""
    said = {
        **world.common(),
        "request_id": "A" * 24,
        "terminal_no": world.terminal.terminal_no,
        "order": order,
        "reason_code": "replaced",
        "reason": None,
        **fields,
    }
    return KeyOrderPayload(**said)


def signed_by(payload: KeyOrderPayload, *officers: SigningKey) -> str:
    """The envelope with each one's signature."""
    return seal_envelope(sign(payload, one) for one in officers)


def note(world: World, order: str, request_id: str, *, officers: int = 2, **fields: Any) -> str:
    """An order by the first officers of a world, as an envelope."""
    payload = order_of(world, order, request_id=request_id, **fields)
    return signed_by(payload, *world.officers[:officers])


def noted(world: World, order: str, request_id: str, **fields: Any) -> KeyOrderNote:
    """The same, as it is brought to the key worker."""
    return KeyOrderNote(order=note(world, order, request_id, **fields))
