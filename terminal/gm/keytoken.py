"""The token format `gm-envelope` as an EPP reads it.

The order of the checks is that of trust: who signed, whether that KDH may still sign, that nothing
was changed, that it is fresh and for this EPP, and only then the private key.
"""

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from terminal.gm.envelope import read_envelope
from terminal.gm.host import host_point, require_host
from terminal.gm.refusal import GmRefused, Rule
from terminal.gm.signeddata import read_signed
from terminal.gm.sm2 import Sm2PrivateKey
from terminal.gm.terms import KeyTerms, key_of, read_terms
from terminal.tr34.certificates import issuer_and_serial
from terminal.tr34.der import NotDer

FORMAT: Final = "gm-envelope"


@dataclass(frozen=True, slots=True)
class Recipient:
    """The EPP itself, and what its token has to answer; `now` is Unix seconds."""

    terminal_no: str
    request_id: str
    nonce: bytes = field(repr=False)
    now: int
    certificate: x509.Certificate
    private_key: Sm2PrivateKey = field(repr=False)

    def require_mine(self, terms: KeyTerms) -> None:
        """Pass only terms that answer this EPP, its nonce and its request, in time.

        Raises:
            GmRefused: NONCE, TERMINAL, REQUEST, RECIPIENT or EXPIRED.
        """
        if not hmac.compare_digest(terms.nonce, self.nonce):
            raise GmRefused(Rule.NONCE)
        if terms.terminal_no != self.terminal_no:
            raise GmRefused(Rule.TERMINAL)
        if terms.request_id != self.request_id:
            raise GmRefused(Rule.REQUEST)
        fingerprint = sha256(self.certificate.public_bytes(Encoding.DER)).digest()
        if not hmac.compare_digest(terms.epp, fingerprint):
            raise GmRefused(Rule.RECIPIENT)
        if terms.not_after <= self.now:
            raise GmRefused(Rule.EXPIRED)


@dataclass(frozen=True, slots=True)
class Opened:
    """A token that kept every rule: the clear key and what was said of it."""

    terms: KeyTerms
    key: bytes = field(repr=False)


def open_key_token(token: bytes, recipient: Recipient, host: x509.Certificate) -> Opened:
    """Verify a token by every rule and open it; `host` is the pinned KDH's certificate.

    The caller lets a nonce answer once only.

    Raises:
        GmRefused: by the rule that the token breaks.
    """
    try:
        return _opened(token, recipient, host)
    except NotDer:
        # its text and its traceback may show what it read, and that may be the key block
        raise GmRefused(Rule.MALFORMED) from None


def _opened(token: bytes, recipient: Recipient, host: x509.Certificate) -> Opened:
    signed = read_signed(token)
    # First who signed: of two pinned KDHs a former one's end is nothing to the other's token.
    signed.require_signed_by(host, host_point(host))
    require_host(host, now=recipient.now)
    terms = read_terms(signed.terms)
    recipient.require_mine(terms)
    terms.require_use()
    envelope = read_envelope(signed.content)
    block = envelope.open(recipient.private_key, issuer_and_serial(recipient.certificate))
    return Opened(terms, key_of(block, signed.signer, signed.terms))
