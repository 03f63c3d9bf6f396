"""The four dialects of TR-34 that are found on the wire, and how to tell them apart.

ASC X9's own examples differ from CMS and from each other, and products were built against each
(docs/adr/0012). A token is read in exactly one of these forms; a mixture is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Dialect(StrEnum):
    """`strict-cms` is RFC 5652; the others are the editions of TR-34 that examples were from."""

    STRICT_CMS = "strict-cms"
    ANNEXB_ERRATA = "annexb-errata"
    ANNEXB_2019_ORIGINAL = "annexb-2019-original"
    AWS_2012 = "aws-2012"


EVERY: Final = frozenset(Dialect)


@dataclass(frozen=True, slots=True)
class EnvelopeForm:
    """How an envelope is written.

    `ciphertext_inside`: the ciphertext stands in the algorithm's SEQUENCE, after the IV.
    `bare`: EnvelopedData lacks its own SEQUENCE header. `tagged`: the OAEP parameters have their
    tags [0] and [1].
    """

    ciphertext_inside: bool
    bare: bool
    tagged: bool


_FORMS: Final[Mapping[EnvelopeForm, Dialect]] = MappingProxyType(
    {
        EnvelopeForm(ciphertext_inside=False, bare=False, tagged=True): Dialect.STRICT_CMS,
        EnvelopeForm(ciphertext_inside=False, bare=False, tagged=False): Dialect.ANNEXB_ERRATA,
        EnvelopeForm(ciphertext_inside=True, bare=False, tagged=False): (
            Dialect.ANNEXB_2019_ORIGINAL
        ),
        EnvelopeForm(ciphertext_inside=True, bare=True, tagged=False): Dialect.AWS_2012,
    }
)


def dialect_of(form: EnvelopeForm) -> Dialect | None:
    """Name the dialect of an envelope; None if there is none that is written so."""
    return _FORMS.get(form)
