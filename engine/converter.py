"""How payloads cross Temporal: one converter for clients, workers and the replayer."""

import dataclasses

from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)

from engine.payloadcodec import RefusedPayloads


class SealedPayloadConverter(CompositePayloadConverter):
    """Pydantic's converters, and the one that refuses what the codec could not open."""

    def __init__(self) -> None:
        """Put them together."""
        super().__init__(RefusedPayloads(), *PydanticPayloadConverter().converters.values())


def data_converter(codec: PayloadCodec | None = None) -> DataConverter:
    """Return the data converter that every process of a deployment must share.

    Payloads are JSON made and checked by pydantic, so frozen models cross unchanged.

    Args:
        codec: Transforms (encrypts) the payload bytes; None leaves them readable, which only
            development may do. With a codec the messages and stack traces of failures go through
            it as well: Temporal keeps them in clear otherwise.
    """
    if codec is None:
        return pydantic_data_converter
    return dataclasses.replace(
        pydantic_data_converter,
        payload_converter_class=SealedPayloadConverter,
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
