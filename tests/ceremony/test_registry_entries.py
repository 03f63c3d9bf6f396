"""Registry entries: every reason for which one is refused, and what a good one says."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ceremony.encoding import b64, canonical_json, sha256_hex
from ceremony.eppcertificate import EntryError
from ceremony.reasons import Reason
from ceremony.registry import (
    MAX_STATEMENTS,
    envelope_statements,
    officers_of,
    read_credential_entry,
    read_enrolment,
    read_terminal_entry,
    registry_digest,
    seal_envelope,
)
from ceremony.signing import sign
from ceremony.statements import PublicJwk
from ceremony.trust import Trust
from tests.support.certificates import sample_authority
from tests.support.identities import passkey_signer, signing_key, trust_text
from tests.support.world import World

WORLD = World.make()
NOW = WORLD.now


def _statements(envelope: str) -> list[str]:
    return list(json.loads(envelope)["statements"])


def _terminal(**changes: Any) -> str:
    return WORLD.terminal_entry(**changes)


def _person(**changes: Any) -> str:
    return WORLD.credential_entry(**changes)


def _terminal_reason(envelope: str, trust: Trust = WORLD.trust) -> Reason:
    with pytest.raises(EntryError) as refusal:
        read_terminal_entry(envelope, trust, now=NOW)
    return refusal.value.reason


def _person_reason(envelope: str, trust: Trust = WORLD.trust) -> Reason:
    with pytest.raises(EntryError) as refusal:
        read_credential_entry(envelope, trust, now=NOW)
    return refusal.value.reason


def test_a_good_terminal_entry_is_read() -> None:
    """Feed-signed, current, with a trusted EPP: entry, EPP, device key and digest are there."""
    envelope = _terminal()
    verified = read_terminal_entry(envelope, WORLD.trust, now=NOW)
    assert verified.entry.terminal_no == WORLD.terminal.terminal_no
    assert verified.epp.fingerprint == WORLD.terminal.epp.fingerprint
    assert verified.device_key.public_key.kid == WORLD.terminal.kid
    assert (verified.envelope, verified.officers) == (envelope, frozenset())


def test_an_officer_may_sign_a_terminal_entry_too() -> None:
    """Officers' signatures on it are found; they do not stand in for the feed's."""
    officer = WORLD.officers[1]
    both = WORLD.read_terminal(_terminal(signers=[officer, WORLD.feed]))
    assert both.officers == {officer.kid}
    assert _terminal_reason(_terminal(signers=[officer])) is Reason.WRONG_SIGNER


def test_the_identity_digest_follows_epp_and_device_key_only() -> None:
    """What only an officer may change is one digest; anything else leaves it alone."""
    read = WORLD.read_terminal(_terminal())
    before = read.identity_digest
    # Journals keep it over upgrades, so its form is fixed.
    assert before == sha256_hex(f"{read.epp.fingerprint} {WORLD.terminal.kid}".encode())
    assert WORLD.read_terminal(_terminal(branch="Moved", seq=9)).identity_digest == before
    other_epp = _terminal(epp_certificate=b64(WORLD.other.epp.certificate))
    other_key = _terminal(device_key=PublicJwk(**WORLD.other.device.key.public.jwk))
    for envelope in (other_epp, other_key):
        assert WORLD.read_terminal(envelope).identity_digest != before


def _device_as_epp() -> str:
    key = signing_key("rsa device", "PS256")
    certificate = sample_authority().issue(key.signing_key.public_key)  # type: ignore[arg-type]
    return _terminal(epp_certificate=b64(certificate), device_key=PublicJwk(**key.public.jwk))


def _broken_signature(envelope: str) -> str:
    head, payload, signature = _statements(envelope)[0].split(".")
    return seal_envelope([f"{head}.{payload}.{'A' * len(signature)}"])


TERMINALS: dict[str, tuple[Callable[[], str], Reason]] = {
    "not JSON": (lambda: "x", Reason.MALFORMED),
    "no statements": (lambda: "{}", Reason.MALFORMED),
    "further member": (lambda: '{"statements":[],"x":1}', Reason.MALFORMED),
    "statements not a list": (lambda: '{"statements":{}}', Reason.MALFORMED),
    "statement not a text": (lambda: '{"statements":[1]}', Reason.MALFORMED),
    "duplicate member": (lambda: '{"statements":[],"statements":[]}', Reason.MALFORMED),
    "statement malformed": (lambda: seal_envelope(["a.b.c"]), Reason.MALFORMED),
    "unsigned": (lambda: seal_envelope([]), Reason.UNSIGNED),
    "too many": (lambda: seal_envelope(_statements(_terminal()) * 9), Reason.TOO_LARGE),
    "two entries": (
        lambda: seal_envelope(_statements(_terminal()) + _statements(_terminal())),
        Reason.MALFORMED,
    ),
    "another kind": (lambda: seal_envelope([WORLD.request().text]), Reason.WRONG_TYPE),
    "a credential entry": (_person, Reason.WRONG_TYPE),
    "signed by the device": (
        lambda: _terminal(signers=[WORLD.terminal.device.key]),
        Reason.WRONG_SIGNER,
    ),
    "signature broken": (lambda: _broken_signature(_terminal()), Reason.BAD_SIGNATURE),
    "another deployment": (lambda: _terminal(aud="elsewhere"), Reason.WRONG_AUDIENCE),
    "expired": (lambda: _terminal(valid_until=NOW), Reason.ENTRY_EXPIRED),
    "one person twice": (lambda: _terminal(second="person-1"), Reason.SAME_PERSON),
    "certificate not base64": (
        lambda: _terminal(epp_certificate="AA=A"),
        Reason.EPP_CERTIFICATE_MALFORMED,
    ),
    "certificate not DER": (
        lambda: _terminal(epp_certificate="AAAA"),
        Reason.EPP_CERTIFICATE_MALFORMED,
    ),
    "device key unusable": (
        lambda: _terminal(device_key=PublicJwk(kty="EC", alg="ES256")),
        Reason.MALFORMED,
    ),
    "device key is the EPP's": (_device_as_epp, Reason.SAME_CREDENTIAL),
}


@pytest.mark.parametrize("name", TERMINALS)
def test_a_terminal_entry_is_refused_with_its_reason(name: str) -> None:
    """One thing wrong, and the reason that says so."""
    make, reason = TERMINALS[name]
    assert _terminal_reason(make()) is reason


def test_a_good_credential_entry_is_read() -> None:
    """Signed by its own key and two officers, whether JWK or passkey."""
    for administrator in (WORLD.first, WORLD.second):
        envelope = WORLD.credential_entry(administrator)
        verified = read_credential_entry(envelope, WORLD.trust, now=NOW)
        assert verified.key == administrator.signer.enrolled
        assert officers_of(envelope, WORLD.trust) == {key.kid for key in WORLD.officers[:2]}


def _one_officer_twice() -> str:
    own, officer, _ = _statements(_person())
    return seal_envelope([own, officer, officer])


def _officer_enrols_himself() -> str:
    officer = WORLD.officers[0]
    entry = WORLD.read_credential(_person()).entry.model_copy(
        update={"public_key": PublicJwk(**officer.public.jwk)}
    )
    return seal_envelope([sign(entry, officer), sign(entry, WORLD.officers[1])])


def _passkey_claimed_as_jwk() -> str:
    passkey = passkey_signer("claimed")
    entry = WORLD.read_credential(_person()).entry.model_copy(
        update={"public_key": PublicJwk(**passkey.key.public.jwk), "credential_id": None}
    )
    return seal_envelope([passkey.sign(entry), *(sign(entry, key) for key in WORLD.officers[:2])])


def _passkey(label: str, alg: str = "ES256", **changes: Any) -> str:
    passkey = passkey_signer(label, alg)
    key = {"public_key": PublicJwk(**passkey.key.public.jwk)}
    entry = WORLD.read_credential(_person()).entry.model_copy(
        update={**key, "credential_id": passkey.credential_id, **changes}
    )
    return seal_envelope([passkey.sign(entry), *(sign(entry, key) for key in WORLD.officers[:2])])


PEOPLE: dict[str, tuple[Callable[[], str], Reason]] = {
    "unsigned": (lambda: seal_envelope([]), Reason.UNSIGNED),
    "a terminal entry": (_terminal, Reason.WRONG_TYPE),
    "no officer": (lambda: _person(officers=0), Reason.OFFICERS_MISSING),
    "one officer": (lambda: _person(officers=1), Reason.OFFICERS_MISSING),
    "one officer twice": (_one_officer_twice, Reason.OFFICERS_MISSING),
    "an officer for himself": (_officer_enrols_himself, Reason.OFFICERS_MISSING),
    "not by its own key": (lambda: _person(own=False), Reason.WRONG_SIGNER),
    "a passkey claimed as JWK": (_passkey_claimed_as_jwk, Reason.WRONG_SIGNER),
    "own signature broken": (lambda: _broken_signature(_person()), Reason.BAD_SIGNATURE),
    "another deployment": (lambda: _person(aud="elsewhere"), Reason.WRONG_AUDIENCE),
    "a passkey elsewhere": (lambda: _passkey("there", aud="elsewhere"), Reason.WRONG_AUDIENCE),
    "expired": (lambda: _person(valid_until=NOW), Reason.ENTRY_EXPIRED),
    "two entries": (
        lambda: seal_envelope(_statements(_person()) + _statements(_person())),
        Reason.MALFORMED,
    ),
}


@pytest.mark.parametrize("name", PEOPLE)
def test_a_credential_entry_is_refused_with_its_reason(name: str) -> None:
    """One thing wrong, and the reason that says so."""
    make, reason = PEOPLE[name]
    assert _person_reason(make()) is reason


def test_a_passkey_may_have_an_algorithm_of_its_own() -> None:
    """RS256 is what some authenticators can; no other key may have it."""
    read = read_credential_entry(_passkey("Windows Hello", "RS256"), WORLD.trust, now=NOW)
    assert read.key.public_key.alg == "RS256"


def test_an_enrolment_is_pending_without_officers() -> None:
    """Its own key's signature makes a pending entry, never a credential that counts."""
    pending = read_enrolment(_person(officers=0), WORLD.trust, now=NOW)
    assert pending.entry.person == WORLD.first.person
    assert _person_reason(_person(officers=0)) is Reason.OFFICERS_MISSING


def test_three_of_three_officers_may_be_asked_for() -> None:
    """The threshold is the trust file's."""
    trust = Trust.read(trust_text(WORLD.feed, WORLD.officers, threshold=3))
    assert _person_reason(_person(officers=2), trust) is Reason.OFFICERS_MISSING
    assert read_credential_entry(_person(officers=3), trust, now=NOW).entry.seq == 1


def test_seq_under_the_trust_files_lowest_is_refused() -> None:
    """Raising `lowest_seq` withdraws every older entry of both kinds at once."""
    trust = Trust.read(trust_text(WORLD.feed, WORLD.officers, lowest_seq=2))
    assert _terminal_reason(_terminal(seq=1), trust) is Reason.SEQ_LOWERED
    assert _person_reason(_person(seq=1), trust) is Reason.SEQ_LOWERED
    assert read_terminal_entry(_terminal(seq=2), trust, now=NOW).entry.seq == 2


def test_a_stranger_among_the_signers_does_no_harm() -> None:
    """Who is missing decides, not who is extra; the envelope holds at most eight signatures."""
    stranger = signing_key("stranger")
    assert WORLD.read_terminal(_terminal(signers=[stranger, WORLD.feed])).officers == frozenset()
    many = [WORLD.feed] * MAX_STATEMENTS
    assert len(envelope_statements(_terminal(signers=many))) == MAX_STATEMENTS


def test_the_registry_digest_is_over_the_three_in_order() -> None:
    """SHA-256 over 3 x 32 bytes: terminal, first, second."""
    digests = [sha256_hex(name.encode()) for name in ("terminal", "first", "second")]
    expected = sha256_hex(b"".join(bytes.fromhex(digest) for digest in digests))
    assert registry_digest(*digests) == expected
    assert registry_digest(digests[0], digests[2], digests[1]) != expected


def test_an_envelope_is_canonical_json() -> None:
    """Sealing is deterministic and keeps the statements verbatim."""
    statements = _statements(_person())
    assert seal_envelope(statements).encode() == canonical_json({"statements": statements})
    assert envelope_statements(seal_envelope(statements)) == tuple(statements)


def test_a_passkey_only_algorithm_is_for_passkeys_only() -> None:
    """RS256 is refused for a device key and for a JWK credential: such a key could never sign."""
    world = World.make()
    rs256 = PublicJwk(**signing_key("rs256 device", "RS256").public.jwk)
    with pytest.raises(EntryError, match=Reason.WRONG_ALGORITHM):
        world.read_terminal(world.terminal_entry(device_key=rs256))
    with pytest.raises(EntryError, match=Reason.WRONG_ALGORITHM):
        world.read_credential(world.credential_entry(public_key=rs256, credential_id=None))
