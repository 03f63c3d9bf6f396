"""The signer's key is found wherever it stands among the enrolled, and a refusal costs the same."""

from dataclasses import replace

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from ceremony.keys import PublicKey
from ceremony.reasons import Reason
from ceremony.standing import broken_dual_control, standing_of
from ceremony.statements import ApplicationPayload
from ceremony.verification import EnrolledKey, StatementError, Verified, peek, verify
from tests.support.identities import (
    AUDIENCE,
    Administrator,
    Signer,
    jwk_signer,
    passkey_signer,
    signing_key,
)
from tests.support.world import World

WORLD = World.make()
PAYLOAD = WORLD.application(WORLD.request()).payload
MANY: list[Signer] = [
    jwk_signer("one of many"),
    passkey_signer("passkey of many"),
    jwk_signer("other of many", "EdDSA"),
    passkey_signer("other passkey of many"),
    jwk_signer("last of many"),
]


def verified(
    text: str, keys: list[EnrolledKey], **how: EnrolledKey
) -> Verified[ApplicationPayload]:
    """Verify an application by one of these keys."""
    return verify(
        text,
        ApplicationPayload,
        keys,
        audience=AUDIENCE,
        passkeys=WORLD.trust.passkeys,
        decoy=how.get("decoy"),
    )


@pytest.mark.parametrize("place", range(len(MANY)))
def test_the_signer_may_stand_anywhere(place: int) -> None:
    """Passkeys and JWK credentials are mixed; neither form hides the keys behind it."""
    keys = [one.enrolled for one in MANY]
    text = MANY[place].sign(PAYLOAD)
    for order in (keys, keys[::-1]):
        assert verified(text, order).kid == keys[place].public_key.kid


class CountedKey(PublicKey):
    """A public key that counts how often a signature is checked with it."""

    checks = 0

    @property
    def verifying_key(self) -> ECKey | OKPKey | RSAKey:
        """The key, counted."""
        CountedKey.checks += 1
        return super().verifying_key


def test_an_unknown_signer_costs_a_signature_check() -> None:
    """The time of a refusal does not tell who is enrolled: the decoy is checked against instead."""
    stranger, decoy = jwk_signer("a stranger"), CountedKey.from_jwk(signing_key("decoy").public.jwk)
    before = CountedKey.checks
    with pytest.raises(StatementError) as refusal:
        verified(stranger.sign(PAYLOAD), [MANY[0].enrolled], decoy=EnrolledKey(decoy))
    assert refusal.value.reason is Reason.UNKNOWN_KEY
    assert CountedKey.checks == before + 1


def test_a_decoy_accepts_nothing() -> None:
    """Not even what its own key signed."""
    decoy = signing_key("decoy")
    with pytest.raises(StatementError) as refusal:
        verified(jwk_signer("decoy").sign(PAYLOAD), [], decoy=EnrolledKey(decoy.public))
    assert refusal.value.reason is Reason.UNKNOWN_KEY


def test_a_statement_has_at_most_32768_characters() -> None:
    """One more is too large, before anything is decoded."""
    longest = f"e30.{'A' * (32_768 - 8)}.AAA"
    assert len(longest) == 32_768
    for text, reason in ((longest, Reason.HEADER_REFUSED), (f"{longest}A", Reason.TOO_LARGE)):
        with pytest.raises(StatementError) as refusal:
            peek(text)
        assert refusal.value.reason is reason


def both_with(first: Signer, second: Signer) -> tuple[Administrator, Administrator]:
    """The world's two administrators with these credentials."""
    return replace(WORLD.first, signer=first), replace(WORLD.second, signer=second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (jwk_signer("pair 1"), jwk_signer("pair 2")),
        (jwk_signer("pair 1"), passkey_signer("pair 2")),
        (passkey_signer("pair 1"), jwk_signer("pair 2")),
        (passkey_signer("pair 1"), passkey_signer("pair 2")),
    ],
    ids=["jwk-jwk", "jwk-passkey", "passkey-jwk", "passkey-passkey"],
)
def test_two_credentials_of_either_form_are_two(first: Signer, second: Signer) -> None:
    """Two administrators without passkeys do not share the credential that neither has."""
    read = [WORLD.read_credential(WORLD.credential_entry(one)) for one in both_with(first, second)]
    assert broken_dual_control(read[0], read[1]) is None
    terminal = WORLD.read_terminal(WORLD.terminal_entry())
    assert standing_of(terminal, read[0], read[1]).second.key == second.enrolled
