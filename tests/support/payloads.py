"""Every payload of a Temporal message, with the path that leads to it."""

from collections.abc import Iterator

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload

from engine.payloadcodec import ENCODING


def payloads_of(message: Message, path: str = "") -> Iterator[tuple[str, Payload]]:
    """Every payload anywhere in a message: arguments, failures, memo, headers, anything."""
    if isinstance(message, Payload):
        yield path, message
        return
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        kind = field.message_type
        here = f"{path}.{field.name}" if path else field.name
        if kind is not None and kind.GetOptions().map_entry:
            if not isinstance(next(iter(value.values()), None), Message):
                continue
            parts = [(f"{here}[{name}]", one) for name, one in value.items()]
        else:
            parts = [(here, one) for one in (list(value) if field.is_repeated else [value])]
        for where, part in parts:
            yield from payloads_of(part, where)


def messages_of(message: Message) -> Iterator[Message]:
    """A message and every message in it."""
    yield message
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            parts = [one for one in value.values() if isinstance(one, Message)]
        else:
            parts = list(value) if field.is_repeated else [value]
        for part in parts:
            yield from messages_of(part)


def sealed(payload: Payload) -> bool:
    """Whether a payload is sealed, as far as can be seen from outside."""
    return payload.metadata.get("encoding") == ENCODING.encode()
