"""Writes the worked examples of docs/statements.md: `python -m tests.support.examples`.

The sample keys, secrets and certificates are kept in tests/ceremony/vectors/statements.json and
made only if that file is missing. They are published: nothing may ever trust them. The document's
prose is written by hand; only what stands between its example markers is replaced.
"""

import base64
import json
import re
from pathlib import Path
from typing import Any, Final

from ceremony.encoding import b64url
from ceremony.keys import SigningKey
from ceremony.registry import envelope_statements, seal_envelope
from ceremony.signing import payload_bytes
from ceremony.statements import (
    KeyOrderPayload,
    ReleaseRecordPayload,
    RemovalOrderPayload,
    RevocationPayload,
    request_id_of,
)
from ceremony.verification import peek
from tests.support.authenticator import Passkey
from tests.support.certificates import Epp, rsa_key, sample_authority
from tests.support.deployment import EDGE_KEY, QR_KEY, SMS_SECRET
from tests.support.identities import (
    ORIGIN,
    RP_ID,
    JwkSigner,
    Terminal,
    administrator,
    trust_text,
)
from tests.support.world import SAMPLE_DIGEST, World

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = ROOT / "docs" / "statements.md"
VECTORS: Final = ROOT / "tests" / "ceremony" / "vectors" / "statements.json"
NAMES: Final = {
    "feed": "ES256",
    "officer-1": "ES256",
    "officer-2": "EdDSA",
    "officer-3": "ES256",
    "device": "ES256",
    "other-device": "ES256",
    "first": "ES256",
    "second": "ES256",
    "third": "EdDSA",
    "record": "EdDSA",
}
MARKER: Final = re.compile(r"(<!-- example: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _samples() -> dict[str, Any]:
    if VECTORS.exists():
        document: dict[str, Any] = json.loads(VECTORS.read_text())
        return document
    epp = rsa_key("the examples' EPP").public_key()
    return {
        "warning": "SAMPLES: these private keys and secrets are published. Trust none of them.",
        "keys": {name: SigningKey.generate(alg).private_jwk() for name, alg in NAMES.items()},
        "secrets": {
            "sms_secret": b64url(SMS_SECRET),
            "edge_key": b64url(EDGE_KEY),
            "qr_key": b64url(QR_KEY),
        },
        "epp_root": sample_authority().pem,
        "epp_certificate": base64.b64encode(
            sample_authority().issue(epp, name="Sample EPP")
        ).decode(),
    }


def sample_world(samples: dict[str, Any]) -> World:
    """The world of the examples: every key from the vectors, one terminal, two administrators."""
    keys = {name: SigningKey.from_jwk(jwk) for name, jwk in samples["keys"].items()}
    officers = tuple(keys[f"officer-{n}"] for n in (1, 2, 3))
    epp = Epp(rsa_key("not the examples'"), base64.b64decode(samples["epp_certificate"]))
    passkey = Passkey(keys["second"], RP_ID, ORIGIN, b64url(b"sample credential"))
    trust = json.loads(trust_text(keys["feed"], officers))
    world = World(
        now=1_800_000_000,
        feed=keys["feed"],
        officers=officers,
        trust_file=json.dumps({**trust, "epp_roots": [samples["epp_root"]]}),
        terminal=Terminal("ATM-0001", JwkSigner(keys["device"]), epp, "person-1", "person-2"),
        other=Terminal("ATM-0002", JwkSigner(keys["other-device"]), epp, "person-1", "person-2"),
        first=administrator(1, JwkSigner(keys["first"])),
        second=administrator(2, passkey),
        third=administrator(3, JwkSigner(keys["third"])),
    )
    world.terminal_envelopes[world.terminal.terminal_no] = world.terminal_entry()
    for one in (world.first, world.second):
        world.credential_envelopes[one.person] = world.credential_entry(one)
    return world


def _examples(world: World, record: SigningKey) -> dict[str, str]:
    entries, standing = world.entries(), world.standing()
    request = world.request()
    application = world.application(request)
    decision = world.decision(application)
    confirmation = world.confirmation(application)
    by_record_key = JwkSigner(record)
    order = RemovalOrderPayload(**world.common(), most=12, expires_at=world.now + 3_600)
    release = ReleaseRecordPayload(
        **world.common(),
        request_id=request_id_of(request.digest),
        terminal_no=world.terminal.terminal_no,
        request=request.digest,
        application=application.digest,
        decision=decision.digest,
        confirmation=confirmation.digest,
        terminal_entry=standing.terminal.digest,
        first_entry=standing.first.digest,
        second_entry=standing.second.digest,
        checks=("signatures", "registry-entries", "dual-control"),
        key_algorithm="AES-128",
        token_digest=SAMPLE_DIGEST,
        kcv_digest="a5" * 32,
    )
    return {
        "terminal-entry": entries.terminal,
        "credential-entry": entries.first,
        "credential-entry-passkey": entries.second,
        "request": request.text,
        "application": application.text,
        "decision": decision.text,
        "confirmation": confirmation.text,
        "receipt": world.receipt(confirmation).text,
        "cancellation": world.cancellation(request).text,
        "login": world.login().text,
        "removal-order": JwkSigner(world.officers[0]).sign(order),
        "release-record": by_record_key.sign(release),
        "revocation": JwkSigner(world.officers[0]).sign(_revocation(world)),
        "key-order": _key_order(world, request_id_of(request.digest)),
    }


def _revocation(world: World) -> RevocationPayload:
    return RevocationPayload(
        **world.common(),
        person=world.second.person,
        terminal_no=None,
        seq=1,
        reason_code="lost-phone",
    )


def _key_order(world: World, request_id: str) -> str:
    order = KeyOrderPayload(
        **world.common(),
        request_id=request_id,
        terminal_no=world.terminal.terminal_no,
        order="settle-loaded",
        reason_code="seen-on-site",
        reason="The EPP shows the check value on its own screen.",
    )
    return seal_envelope(JwkSigner(officer).sign(order) for officer in world.officers[:2])


def _shown(text: str) -> str:
    first = envelope_statements(text)[0] if text.startswith('{"statements"') else text
    claimed = peek(first)
    payload = _pretty(json.loads(payload_bytes(claimed.payload)))
    return (
        f"Payload:\n\n```json\n{payload}\n```\n\n"
        f"Digest: `{claimed.digest}`\n\n"
        f"{'Envelope' if first != text else 'Statement'}:\n\n```text\n{text}\n```\n"
    )


def _pretty(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def write() -> None:
    """Write the vectors and put the examples into the document."""
    samples = _samples()
    record = SigningKey.from_jwk(samples["keys"]["record"])
    examples = _examples(sample_world(samples), record)
    VECTORS.write_text(_pretty({**samples, "examples": examples}) + "\n")

    def fill(found: re.Match[str]) -> str:
        return f"{found[1]}\n{_shown(examples[found[2]])}\n{found[3]}"

    DOCUMENT.write_text(MARKER.sub(fill, DOCUMENT.read_text()))


if __name__ == "__main__":
    write()
