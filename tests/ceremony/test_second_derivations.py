"""What the server derives, derived a second time from the documents with `hmac` and `hashlib`.

API, ceremony worker and key worker are upgraded one after the other, and evidence is checked years
later: a label or a length that changed would refuse what another version made.
"""

import hmac
import struct
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from ceremony.challenges import Challenges
from ceremony.codes import CodeBook, CodeScope, EdgeSeal
from ceremony.encoding import b64url, from_b64url
from ceremony.qr import QrContents, QrError, QrSeal, token_of
from ceremony.verification import StatementError
from tests.support.deployment import EDGE_KEY, QR_KEY, SMS_SECRET
from tests.support.identities import AUDIENCE, ORIGIN
from tests.support.world import SAMPLE_DIGEST

SCOPE = CodeScope("A" * 24, "person-1", "+4915112345678", SAMPLE_DIGEST)
REQUEST_ID = b64url(bytes(range(18)))
NOW = 1_800_000_000


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256 and no salt; one block is enough here."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")[:length]


def hotp(key: bytes, counter: int, digits: int) -> str:
    """RFC 4226 section 5.3."""
    mac = hmac.digest(key, struct.pack(">Q", counter), "sha1")
    offset = mac[-1] & 0xF
    number = struct.unpack(">I", mac[offset : offset + 4])[0] & 0x7FFF_FFFF
    return f"{number % 10**digits:0{digits}d}"


def code_key(purpose: bytes) -> bytes:
    """HKDF(SMS secret; label, purpose and scope, each after its length in two octets)."""
    parts = [b"keyfill/code/1", purpose, *(part.encode() for part in scope_parts())]
    info = b"".join(struct.pack(">H", len(part)) + part for part in parts)
    return hkdf(SMS_SECRET, info, 20)


def scope_parts() -> tuple[str, str, str, str]:
    """Design, section 4: request, person, number, EPP."""
    return SCOPE.request_id, SCOPE.person, SCOPE.number, SCOPE.epp_fingerprint


def test_an_sms_code_is_hotp_with_counter_n() -> None:
    """SMS code n = RFC 4226 HOTP, six digits, under the key of this request's scope."""
    book = CodeBook(SMS_SECRET)
    for n in (1, 2, 3):
        assert book.sms_code(SCOPE, n) == hotp(code_key(b"sms"), n, 6)


def test_an_approval_code_has_a_label_of_its_own() -> None:
    """The last four digits of HOTP with counter 0 under the label `approval`."""
    assert CodeBook(SMS_SECRET).approval_code(SCOPE) == hotp(code_key(b"approval"), 0, 6)[-4:]


@pytest.mark.parametrize("purpose", ["sms", "approval"])
def test_a_typed_code_travels_as_its_mac(purpose: str) -> None:
    """HMAC(edge key; label, purpose, request, n, statement digest, code), parted by NUL."""
    assert purpose in {"sms", "approval"}
    parts = ("keyfill/typed/1", purpose, REQUEST_ID, "2", SAMPLE_DIGEST, "123456")
    mac = hmac.new(EDGE_KEY, "\0".join(parts).encode(), sha256).hexdigest()
    sealed = EdgeSeal(EDGE_KEY).seal(
        "sms" if purpose == "sms" else "approval", REQUEST_ID, 2, SAMPLE_DIGEST, "123456"
    )
    assert (sealed.n, sealed.mac) == (2, mac)


def test_a_challenge_is_time_random_and_mac() -> None:
    """8 octets of Unix time, 16 random ones, and the first 16 of the MAC over both."""
    key = bytes(range(32))
    data = from_b64url(Challenges(key).issue(NOW))
    body, mac = data[:24], data[24:]
    assert body[:8] == struct.pack(">Q", NOW)
    assert mac == hmac.digest(key, b"keyfill/challenge/1" + body, "sha256")[:16]


def test_a_challenge_of_another_length_is_refused() -> None:
    """A MAC of ours over fewer or more random octets is still no challenge of ours."""
    key = bytes(range(32))
    for random_octets in (15, 17):
        body = struct.pack(">Q", NOW) + bytes(random_octets)
        mac = hmac.digest(key, b"keyfill/challenge/1" + body, "sha256")[:16]
        with pytest.raises(StatementError, match="challenge-refused"):
            Challenges(key).check(b64url(body + mac), NOW)


def siv(plain: bytes) -> str:
    """Seal any octets as a QR token of this deployment (RFC 5297)."""
    return b64url(AESSIV(QR_KEY).encrypt(plain, [b"keyfill/qr/1", AUDIENCE.encode()]))


def test_a_qr_token_is_bound_to_its_use_and_deployment() -> None:
    """request_id, n (4 octets), expiry (8 octets), terminal; label and deployment beside it."""
    contents = QrContents(REQUEST_ID, "ATM-0001", 3, NOW)
    token = siv(bytes(range(18)) + struct.pack(">IQ", 3, NOW) + b"ATM-0001")
    assert QrSeal(QR_KEY, AUDIENCE).token(contents) == token
    assert QrSeal(QR_KEY, AUDIENCE).open(token) == contents


@pytest.mark.parametrize("plain", [b"", bytes(29), bytes(30) + b"\xff"])
def test_what_is_sealed_but_no_qr_code_is_refused(plain: bytes) -> None:
    """Octets sealed under the right key that are too short, or name no terminal."""
    with pytest.raises(QrError):
        QrSeal(QR_KEY, AUDIENCE).open(siv(plain))


def test_a_qr_text_holds_at_most_160_characters_of_token() -> None:
    """One more is refused before anything is decoded."""
    assert token_of(f"{ORIGIN}/a#{'A' * 160}", ORIGIN) == "A" * 160
    with pytest.raises(QrError):
        token_of(f"{ORIGIN}/a#{'A' * 161}", ORIGIN)
