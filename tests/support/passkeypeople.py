"""Administrators with passkeys on the attacked deployment, and every way to bend an assertion."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ceremony.encoding import b64url
from ceremony.keys import SigningKey
from ceremony.registry import envelope_statements, seal_envelope
from ceremony.signing import new_nonce
from ceremony.statements import CredentialEntry, PublicJwk
from ceremony.verification import peek
from tests.support.attacked import Bench, Person, Place
from tests.support.authenticator import USER_PRESENT, USER_VERIFIED, Passkey

FOREIGN: Final = "https://keyfill.example"


def bends(bench: Bench) -> Mapping[str, dict[str, Any]]:
    """What a dishonest page, browser or authenticator says otherwise, by what it is."""
    origin, rp_id = bench.trust.origin, bench.trust.rp_id
    return {
        "another origin": {"origin": FOREIGN},
        "the origin with another port": {"origin": f"{origin}0"},
        "the origin with a slash": {"origin": f"{origin}/"},
        "a longer host": {"origin": f"{origin}.example"},
        "another relying party": {"rp_id": "keyfill.example"},
        "a subdomain for a relying party": {"rp_id": f"a.{rp_id}"},
        "another challenge": {"challenge": b64url(bytes(32))},
        "an empty challenge": {"challenge": ""},
        "no user verification": {"flags": USER_PRESENT},
        "no user presence": {"flags": USER_VERIFIED},
        "a cross-origin frame": {"cross_origin": True},
        "a frame's top origin": {"further": {"topOrigin": FOREIGN}},
        "an enrolment's client data": {"type": "webauthn.create"},
    }


def with_passkeys(bench: Bench, place: Place) -> Place:
    """The same terminal, its administrators' credentials replaced by passkeys, officers signing."""
    first, second = (_renewed(bench, one) for one in (place.first, place.second))
    return replace(place, first=first, second=second)


def _renewed(bench: Bench, person: Person) -> Person:
    passkey = Passkey(
        key=SigningKey.generate(),
        rp_id=bench.trust.rp_id,
        origin=bench.trust.origin,
        credential_id=b64url(f"passkey of {person.person}".encode()),
    )
    said = peek(envelope_statements(person.envelope)[0]).payload
    assert isinstance(said, CredentialEntry)
    entry = CredentialEntry(
        **{
            **said.model_dump(),
            "iat": int(time.time()),
            "nonce": new_nonce(),
            "public_key": PublicJwk.model_validate(passkey.key.public.jwk),
            "credential_id": passkey.credential_id,
            "seq": said.seq + 1,
        }
    )
    verified = bench.admit(seal_envelope([passkey.sign(entry)]))
    return replace(
        person,
        key=passkey.key,
        envelope=verified.envelope,
        digest=verified.digest,
        passkey=passkey,
    )
