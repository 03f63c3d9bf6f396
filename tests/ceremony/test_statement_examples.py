"""docs/statements.md shows what the code does: every example verifies and has its digest."""

import json
import re
from typing import Any, Final, NamedTuple

import pytest

from ceremony.codes import CodeBook, EdgeSeal
from ceremony.encoding import b64, from_b64url, sha256_hex, strict_json
from ceremony.eppcertificate import read_epp_certificate
from ceremony.keys import SigningKey
from ceremony.qr import QrSeal, current, qr_digest
from ceremony.registry import envelope_statements, read_credential_entry, read_terminal_entry
from ceremony.release_rule import Entries, ReleaseSecrets, Statements, confirmed, may_release
from ceremony.standing import standing_of
from ceremony.statements import PAYLOADS, Kind, request_id_of
from ceremony.verification import EnrolledKey, StatementError, Unverified, Verified, peek, verify
from tests.support.examples import DOCUMENT, VECTORS, sample_world

SAMPLES: Final[dict[str, Any]] = json.loads(VECTORS.read_text())
KEYS: Final = {name: SigningKey.from_jwk(jwk) for name, jwk in SAMPLES["keys"].items()}
TRUST: Final = sample_world(SAMPLES).trust
NOW: Final = 1_800_000_000
SIGNER: Final = {
    "terminal-entry": "feed",
    "credential-entry": "first",
    "credential-entry-passkey": "second",
    "request": "device",
    "application": "first",
    "decision": "second",
    "confirmation": "device",
    "receipt": "device",
    "cancellation": "device",
    "login": "first",
    "removal-order": "officer-1",
    "release-record": "record",
    "revocation": "officer-1",
    "key-order": "officer-1",
}


class Example(NamedTuple):
    """An example as the document shows it."""

    payload: dict[str, Any]
    digest: str
    text: str

    @property
    def statements(self) -> tuple[str, ...]:
        """The statement itself, or all of the envelope."""
        enveloped = self.text.startswith('{"statements"')
        return envelope_statements(self.text) if enveloped else (self.text,)

    @property
    def claimed(self) -> Unverified:
        """What it claims."""
        return peek(self.statements[0])


def _read() -> dict[str, Example]:
    found = re.findall(r"<!-- example: (\S+) -->(.*?)<!-- end -->", DOCUMENT.read_text(), re.DOTALL)
    examples = {}
    for name, section in found:
        payload = re.search(r"```json\n(.*?)\n```", section, re.DOTALL)
        digest = re.search(r"Digest: `([0-9a-f]{64})`", section)
        text = re.search(r"```text\n(.*?)\n```", section, re.DOTALL)
        assert payload, name
        assert digest, name
        assert text, name
        examples[name] = Example(json.loads(payload[1]), digest[1], text[1])
    return examples


EXAMPLES: Final = _read()


def _enrolled(name: str, example: Example) -> EnrolledKey:
    return EnrolledKey(KEYS[SIGNER[name]].public, example.claimed.credential_id)


def _verify(name: str) -> Verified[Any]:
    example = EXAMPLES[name]
    return verify(
        example.statements[0],
        PAYLOADS[example.claimed.kind],
        [_enrolled(name, example)],
        audience=TRUST.audience,
        passkeys=TRUST.passkeys,
    )


def test_every_kind_has_an_example() -> None:
    """No kind without one, and one at least in the WebAuthn form."""
    assert set(EXAMPLES) == set(SIGNER) == set(SAMPLES["examples"])
    assert {example.claimed.kind for example in EXAMPLES.values()} == set(Kind)
    assert EXAMPLES["decision"].claimed.credential_id is not None


@pytest.mark.parametrize("name", SIGNER)
def test_an_example_verifies_and_has_the_digest_shown(name: str) -> None:
    """The text verifies by its signer's sample key; payload and digest are those printed."""
    example, verified = EXAMPLES[name], _verify(name)
    assert verified.digest == example.digest
    assert verified.kid == KEYS[SIGNER[name]].kid
    assert SAMPLES["examples"][name] == example.text
    assert {peek(text).digest for text in example.statements} == {example.digest}


@pytest.mark.parametrize("name", SIGNER)
def test_the_digest_follows_from_the_page_alone(name: str) -> None:
    """SHA-256 of `typ "." payload`, with nothing of ours: any implementation can do it."""
    example = EXAMPLES[name]
    text = example.statements[0]
    if text.startswith("{"):
        form = json.loads(text)
        typ, payload = form["typ"], from_b64url(form["payload"])
    else:
        header, body, _ = text.split(".")
        typ, payload = json.loads(from_b64url(header))["typ"], from_b64url(body)
    assert sha256_hex(typ.encode() + b"." + payload) == example.digest
    assert strict_json(payload) == example.payload


@pytest.mark.parametrize("name", SIGNER)
def test_no_other_sample_key_verifies_an_example(name: str) -> None:
    """An example is its signer's alone."""
    example = EXAMPLES[name]
    others = [
        EnrolledKey(key.public, example.claimed.credential_id)
        for who, key in KEYS.items()
        if who != SIGNER[name]
    ]
    for other in others:
        with pytest.raises(StatementError):
            verify(
                example.statements[0],
                PAYLOADS[example.claimed.kind],
                [other],
                audience=TRUST.audience,
                passkeys=TRUST.passkeys,
            )


def test_the_entries_are_good() -> None:
    """The registry entries shown make a standing whose digest the application names."""
    terminal = read_terminal_entry(EXAMPLES["terminal-entry"].text, TRUST, now=NOW)
    first = read_credential_entry(EXAMPLES["credential-entry"].text, TRUST, now=NOW)
    second = read_credential_entry(EXAMPLES["credential-entry-passkey"].text, TRUST, now=NOW)
    standing = standing_of(terminal, first, second)
    assert EXAMPLES["application"].payload["registry_digest"] == standing.registry_digest
    assert b64(terminal.epp.der) == SAMPLES["epp_certificate"]
    assert read_epp_certificate(terminal.epp.der, TRUST.roots, now=NOW) == terminal.epp


def test_the_examples_make_one_ceremony_that_grants() -> None:
    """With the sample secrets and the right codes the release rule grants a key for them."""
    secrets = {name: from_b64url(value) for name, value in SAMPLES["secrets"].items()}
    held = ReleaseSecrets(
        CodeBook(secrets["sms_secret"]),
        EdgeSeal(secrets["edge_key"]),
        QrSeal(secrets["qr_key"], TRUST.audience),
    )
    texts = {name: example.text for name, example in EXAMPLES.items()}
    entries = Entries(
        texts["terminal-entry"], texts["credential-entry"], texts["credential-entry-passkey"]
    )
    request_id = request_id_of(EXAMPLES["request"].digest)
    assert EXAMPLES["confirmation"].payload["request_id"] == request_id
    scope = standing_of(
        read_terminal_entry(entries.terminal, TRUST, now=NOW),
        read_credential_entry(entries.first, TRUST, now=NOW),
        read_credential_entry(entries.second, TRUST, now=NOW),
    ).code_scope(request_id)
    shown = current(request_id, "ATM-0001", opened_at=NOW, now=NOW)
    assert qr_digest(held.qr.token(shown)) == EXAMPLES["application"].payload["qr_digest"]
    applied, confirmation = EXAMPLES["application"].digest, EXAMPLES["confirmation"].digest
    case = Statements(
        request=texts["request"],
        application=texts["application"],
        decision=texts["decision"],
        confirmation=texts["confirmation"],
        qr_n=shown.n,
        qr_expires_at=shown.expires_at,
        sms_code=held.edge.seal("sms", request_id, 1, applied, held.codes.sms_code(scope, 1)),
        approval_code=held.edge.seal(
            "approval", request_id, 0, confirmation, held.codes.approval_code(scope)
        ),
    )
    proved = may_release(case, entries, TRUST, held, now=NOW)
    grant = confirmed(proved, case.approval_code, held)
    record = EXAMPLES["release-record"].payload
    assert (record["request"], record["application"]) == (grant.request.digest, applied)
    assert (record["decision"], record["confirmation"]) == (grant.decision.digest, confirmation)
    assert record["terminal_entry"] == grant.standing.terminal.digest


def test_the_samples_are_marked() -> None:
    """Whoever opens the vectors learns at once that nothing may trust them."""
    assert SAMPLES["warning"].startswith("SAMPLES")
    assert "**samples**" in DOCUMENT.read_text()
