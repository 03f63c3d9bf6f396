"""Frozen models cross Temporal unchanged, and a codec covers failures too."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import PayloadCodec
from temporalio.exceptions import ApplicationError

from engine.converter import data_converter


class _Carried(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    digest: str
    count: int


class _Flipping(PayloadCodec):
    """Inverts every byte: enough to see what went through it."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Invert each payload and mark it."""
        return [
            Payload(metadata={"encoding": b"flipped"}, data=_flip(payload.SerializeToString()))
            for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Undo `encode`."""
        return [Payload.FromString(_flip(payload.data)) for payload in payloads]


def _flip(data: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in data)


async def test_strict_model_crosses_unchanged() -> None:
    """A frozen, strict model comes back as an equal object of its own type."""
    sent = _Carried(digest="00ff", count=3)
    converter = data_converter()
    assert await converter.decode(await converter.encode([sent]), [_Carried]) == [sent]


async def test_codec_sees_every_payload() -> None:
    """With a codec nothing of the value is in clear on the wire, and it comes back."""
    sent = _Carried(digest="00ff", count=3)
    converter = data_converter(_Flipping())
    wire = await converter.encode([sent])
    assert b"00ff" not in wire[0].data
    assert await converter.decode(wire, [_Carried]) == [sent]


async def test_codec_covers_failure_messages() -> None:
    """A failure's message and stack trace are not in clear on the wire."""
    converter = data_converter(_Flipping())
    failure = Failure()
    await converter.encode_failure(ApplicationError("reason-code-here"), failure)
    assert b"reason-code-here" not in failure.SerializeToString()
    decoded = await converter.decode_failure(failure)
    assert isinstance(decoded, ApplicationError)
    assert decoded.message == "reason-code-here"
