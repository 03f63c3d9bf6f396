"""How payloads cross Temporal: one converter for clients, workers and the replayer."""

import dataclasses

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)


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
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
