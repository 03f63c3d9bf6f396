"""Who signs in a test world: signers, administrators, terminals; keys made once in a process."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final, Protocol

from ceremony.encoding import b64url, canonical_json
from ceremony.keys import SigningKey
from ceremony.signing import sign
from ceremony.statements import Payload
from ceremony.verification import EnrolledKey
from tests.support.authenticator import Passkey
from tests.support.certificates import Epp, sample_authority, sample_epp

AUDIENCE: Final = "keyfill-test"
ORIGIN: Final = "https://keyfill.test"
RP_ID: Final = "keyfill.test"


class Signer(Protocol):
    """Whoever signs statements: a JWK credential or a passkey."""

    @property
    def enrolled(self) -> EnrolledKey:
        """The key as the registry enrols it."""

    def sign(self, payload: Payload) -> str:
        """Give the statement text."""


@dataclass(frozen=True)
class JwkSigner:
    """A signer with a JWK credential: its statements are compact JWS."""

    key: SigningKey

    @property
    def enrolled(self) -> EnrolledKey:
        """The key as the registry enrols it."""
        return EnrolledKey(self.key.public)

    def sign(self, payload: Payload) -> str:
        """Give the compact JWS."""
        return sign(payload, self.key)


@dataclass(frozen=True)
class Administrator:
    """A person who may be a terminal's first or second administrator."""

    person: str
    staff_no: str
    name: str
    number: str
    signer: Signer

    @property
    def kid(self) -> str:
        """The key id of the credential."""
        return self.signer.enrolled.public_key.kid


@dataclass(frozen=True)
class Terminal:
    """A terminal: its number, device key, EPP, and the persons who administer it."""

    terminal_no: str
    device: JwkSigner
    epp: Epp
    first: str
    second: str

    @property
    def kid(self) -> str:
        """The key id of the device key."""
        return self.device.enrolled.public_key.kid


def signing_key(label: str, alg: str = "ES256") -> SigningKey:
    """The signing key of this label and algorithm, made once in a test process."""
    return _made(label, alg)


@cache
def _made(label: str, alg: str) -> SigningKey:
    del label
    return SigningKey.generate(alg)


def jwk_signer(label: str, alg: str = "ES256") -> JwkSigner:
    """A signer with the JWK credential of this label."""
    return JwkSigner(signing_key(label, alg))


def passkey_signer(label: str, alg: str = "ES256") -> Passkey:
    """A fresh software passkey with the key of this label, for the worlds' origin."""
    return Passkey(
        key=signing_key(label, alg),
        rp_id=RP_ID,
        origin=ORIGIN,
        credential_id=b64url(f"credential of {label}".encode()),
    )


def administrator(n: int, signer: Signer) -> Administrator:
    """Administrator n (1 to 9) with a number of their own."""
    return Administrator(
        person=f"person-{n}",
        staff_no=f"A100{n}",
        name=f"Administrator {n}",
        number=f"+4915112345{n:02}0",
        signer=signer,
    )


def terminal(terminal_no: str, *, first: str = "person-1", second: str = "person-2") -> Terminal:
    """The terminal of this number, with a device key and an RSA-2048 EPP of its own."""
    return Terminal(
        terminal_no=terminal_no,
        device=jwk_signer(f"device of {terminal_no}"),
        epp=sample_epp(f"EPP of {terminal_no}"),
        first=first,
        second=second,
    )


def trust_text(
    feed: SigningKey, officers: Iterable[SigningKey], *, threshold: int = 2, lowest_seq: int = 0
) -> str:
    """A trust file's text: this feed key, these officers, and the sample EPP root."""
    return canonical_json(
        {
            "audience": AUDIENCE,
            "origin": ORIGIN,
            "rp_id": RP_ID,
            "feed_keys": [feed.public.jwk],
            "officers": [
                {"name": f"Officer {n}", "key": officer.public.jwk}
                for n, officer in enumerate(officers, 1)
            ],
            "officer_threshold": threshold,
            "epp_roots": [sample_authority().pem],
            "lowest_seq": lowest_seq,
        }
    ).decode()
