"""How `tr34` tokens are written for a model of terminal: the dialect, and the envelope's cipher."""

from dataclasses import dataclass, field
from enum import StrEnum

from keymanagement.algorithm import KeyAlgorithm
from keymanagement.tr34.dialect import Dialect


class ContentCipher(StrEnum):
    """What the key block's content is encrypted with, in CBC with PKCS#7 padding."""

    AES_128 = "aes-128-cbc"
    TDES = "des-ede3-cbc"

    def carries(self, algorithm: KeyAlgorithm) -> bool:
        """Whether the content key is as strong as a TMK of `algorithm`."""
        carried = {KeyAlgorithm.TDES}
        if self is ContentCipher.AES_128:
            carried.add(KeyAlgorithm.AES_128)
        return algorithm in carried


@dataclass(frozen=True, slots=True)
class TokenForm:
    """How tokens are written for a model of terminal.

    `crl_der` is the list of the authority that certified the KDH, for KRDs that ask for it in
    each token.
    """

    dialect: Dialect = Dialect.STRICT_CMS
    cipher: ContentCipher = ContentCipher.AES_128
    crl_der: bytes | None = field(default=None, repr=False)
