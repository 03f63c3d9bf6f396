"""Every rule of a `gm-envelope` token: a token that breaks one alone is refused for that one."""

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SM3, Hash
from cryptography.hazmat.primitives.serialization import Encoding

from ceremony.sm2 import Sm2PublicKey
from keymanagement.gm import identifiers as ids
from keymanagement.gm.envelope import envelope
from keymanagement.gm.keytoken import signed
from keymanagement.gm.sm2 import sign
from keymanagement.gm.terms import key_block, terms_attribute
from keymanagement.tr34.der import context, integer, octets, oid, sequence, set_of, utf8
from keymanagement.tr34.envelope import attribute
from terminal.epperrors import EppCode
from terminal.gm import sm2
from terminal.gm.keytoken import Recipient, open_key_token
from terminal.gm.refusal import GmRefused, Rule
from terminal.tr34.der import wrapped
from tests.support.gmworld import (
    KEY,
    NONCE,
    NOW,
    REQUEST,
    TERMINAL,
    Sm2EppKeys,
    forged,
    gm_terms,
    gm_token,
    host_certificate,
    recipient,
    signed_by_hand,
    sm2_epp,
)
from tests.support.tr34world import kdh_certified


class EppAsHost:
    """An EPP that signs as if it were a KDH."""

    not_after = NOW + 60

    def __init__(self, epp: Sm2EppKeys) -> None:
        self._epp = epp
        self.certificate_der = epp.certificate

    def sign_sm2(self, message: bytes) -> bytes:
        """Sign with the EPP's own key."""
        return sign(self._epp.pair.secret, Sm2PublicKey(self._epp.pair.point), message)


def refused(
    token: bytes, mine: Recipient | None = None, host: x509.Certificate | None = None
) -> Rule:
    """The rule for which a token is refused."""
    with pytest.raises(GmRefused) as error:
        open_key_token(token, mine or recipient(), host or host_certificate())
    assert isinstance(error.value.rule, Rule)
    return error.value.rule


def terms(
    *,
    version: int = 1,
    terminal_no: str = TERMINAL,
    epp: bytes | None = None,
    nonce: bytes = NONCE,
    use: tuple[str, str, str] = ("K1", "D", "N"),
    algorithm: bytes = ids.SM4,
    not_after: int = NOW + 60,
) -> bytes:
    """The terms' attribute, written by hand, wrong where the arguments say so."""
    fingerprint = epp or bytes.fromhex(sm2_epp().fingerprint)
    value = sequence(
        *(integer(version), utf8(terminal_no), utf8(REQUEST), octets(fingerprint), octets(nonce)),
        *(*map(utf8, use), algorithm, integer(not_after)),
    )
    return attribute(ids.KEY_TERMS, value)


def block_of(said: bytes, key: bytes = KEY) -> bytes:
    """A key block around a terms' attribute."""
    empty = key_block(key, host_certificate(), gm_terms())
    right = terms_attribute(gm_terms())
    body = empty[empty.index(b"\x02\x01\x01") : -len(right)]
    return sequence(body, said)


def test_a_right_token_opens() -> None:
    """All that the server said is read back, and the key comes out."""
    opened = open_key_token(gm_token(), recipient(), host_certificate())
    assert opened.key == KEY
    said = opened.terms
    assert (said.terminal_no, said.request_id, said.nonce) == (TERMINAL, REQUEST, NONCE)
    assert said.epp.hex() == sm2_epp().fingerprint
    assert (said.use, said.not_after) == (("K1", "D", "N"), NOW + 86_400)
    assert KEY not in repr(opened).encode()


def test_what_is_written_by_hand_here_is_right() -> None:
    """The helpers of this file make a token that opens: what they bend is all that is wrong."""
    token = forged(outside=terms(), block=block_of(terms()))
    assert open_key_token(token, recipient(), host_certificate()).key == KEY


def test_another_kdhs_token_is_refused() -> None:
    """A token of another KDH, or one that names the bound KDH and is signed by another."""
    assert refused(forged(signer="other KDH")) is Rule.SIGNER
    assert refused(forged(signer="other KDH", named="KDH")) is Rule.SIGNATURE
    assert refused(gm_token(), host=host_certificate("other KDH")) is Rule.SIGNER


def test_a_changed_envelope_is_refused() -> None:
    """The signature covers the envelope by its digest."""
    token = forged()
    at = token.index(ids.ENVELOPED_DATA) + 300
    assert refused(token[:at] + bytes((token[at] ^ 1,)) + token[at + 1 :]) is Rule.DIGEST


def test_the_nonce_must_be_the_outstanding_one() -> None:
    """Another nonce, or the right one cut short, answers nothing."""
    assert refused(gm_token(), recipient(nonce=bytes(16))) is Rule.NONCE
    assert refused(forged(outside=terms(nonce=NONCE[:-1]))) is Rule.NONCE


def test_terminal_request_and_epp_must_be_its_own() -> None:
    """A token for another terminal, request or EPP is refused."""
    assert refused(gm_token(), recipient(terminal_no="ATM-0002")) is Rule.TERMINAL
    assert refused(gm_token(), recipient(request_id="A" * 24)) is Rule.REQUEST
    other = recipient(sm2_epp("other EPP"))
    assert refused(gm_token(), other) is Rule.RECIPIENT
    assert refused(forged(to=sm2_epp("other EPP"))) is Rule.RECIPIENT
    former = terms(epp=bytes(32))
    assert refused(forged(outside=former, block=block_of(former))) is Rule.RECIPIENT


def test_an_envelope_to_this_epps_name_under_another_key_does_not_open() -> None:
    """The private key decides: a name can be written by anyone."""
    stranger = sm2.Sm2PrivateKey(sm2_epp("other EPP").pair.secret)
    assert refused(gm_token(), recipient(private_key=stranger)) is Rule.UNOPENED


def test_a_token_ends() -> None:
    """At its end it is expired."""
    last = recipient(now=NOW + 86_399)
    assert open_key_token(gm_token(), last, host_certificate()).key == KEY
    assert refused(gm_token(), recipient(now=NOW + 86_400)) is Rule.EXPIRED


def test_the_kdhs_certificate_ends() -> None:
    """Before its beginning and after its end the KDH signs nothing."""
    host = host_certificate()
    late = int(host.not_valid_after_utc.timestamp()) + 1
    early = int(host.not_valid_before_utc.timestamp()) - 1
    assert refused(gm_token(), recipient(now=late)) is Rule.HOST_EXPIRED
    assert refused(gm_token(), recipient(now=early)) is Rule.HOST_EXPIRED


def test_an_expired_kdh_is_asked_first_whether_it_signed() -> None:
    """Of another KDH's token it says so: the EPP then looks at the second one that it pins."""
    host = host_certificate("other KDH")
    late = recipient(now=int(host.not_valid_after_utc.timestamp()) + 1)
    assert refused(gm_token(), late, host) is Rule.SIGNER


def test_only_a_kdhs_certificate_passes_for_one() -> None:
    """An EPP's certificate, of the same maker as it may be, signs no token; nor does an RSA KDH."""
    epp = x509.load_der_x509_certificate(sm2_epp().certificate)
    point = Sm2PublicKey(sm2_epp().pair.point)
    content = envelope(key_block(KEY, epp, gm_terms()), epp, point)
    token = signed(content, terms_attribute(gm_terms()), epp, EppAsHost(sm2_epp()))
    assert refused(token, host=epp) is Rule.HOST_PURPOSE
    assert refused(gm_token(), host=epp) is Rule.SIGNER
    assert refused(gm_token(), host=kdh_certified("KDH")) is Rule.HOST_PURPOSE


@pytest.mark.parametrize(
    "bent",
    [
        terms(use=("K0", "D", "N")),
        terms(use=("P0", "D", "N")),
        terms(use=("K1", "E", "N")),
        terms(use=("K1", "D", "E")),
        terms(algorithm=oid("2.16.840.1.101.3.4.1.2")),
    ],
    ids=["K0", "P0", "to encrypt", "exportable", "AES"],
)
def test_the_epp_takes_sm4_master_keys_only(bent: bytes) -> None:
    """Usage K1, mode D, not exportable, SM4: nothing else."""
    assert refused(forged(outside=bent, block=block_of(bent))) is Rule.USE


def test_the_kdh_named_inside_must_be_the_signer() -> None:
    """The envelope of one KDH, signed by another, is refused: TR-34's rule."""
    inside = key_block(KEY, host_certificate("other KDH"), gm_terms())
    assert refused(forged(block=inside)) is Rule.HOST_INSIDE


def test_the_terms_inside_must_be_those_signed() -> None:
    """A key made for another terminal, request or time is not re-labelled from outside."""
    for other in (
        gm_terms(terminal_no="ATM-0002"),
        gm_terms(request_id="A" * 24),
        gm_terms(expires_at=NOW + 86_401),
        gm_terms(krd_nonce="00" * 16),
        gm_terms(key_usage="K0"),
    ):
        inside = key_block(KEY, host_certificate(), other)
        assert refused(forged(block=inside)) is Rule.TERMS_INSIDE


@pytest.mark.parametrize("length", [0, 15, 17, 24])
def test_an_sm4_key_has_16_bytes(length: int) -> None:
    """Another length is refused by its own name."""
    inside = key_block(bytes(length), host_certificate(), gm_terms())
    assert refused(forged(block=inside)) is Rule.KEY_LENGTH


def test_a_content_that_is_no_envelope_is_refused() -> None:
    """Plain data, another version, a recipient by key identifier as CFCA writes it: malformed."""
    assert refused(forged(content=b"not an envelope")) is Rule.MALFORMED
    assert refused(forged(block=b"no key block")) is Rule.MALFORMED
    assert refused(forged(outside=terms(version=2))) is Rule.MALFORMED
    by_key_identifier = sequence(
        integer(2), context(0, octets(bytes(20))), ids.SM2_ENCRYPTION, octets(bytes(100))
    )
    content = sequence(ids.DATA, sequence(ids.SM4_CBC, octets(bytes(16))), context(0))
    cfca = sequence(
        ids.ENVELOPED_DATA, context(0, sequence(integer(2), set_of(by_key_identifier), content))
    )
    assert refused(forged(content=cfca)) is Rule.MALFORMED


def test_a_token_longer_than_16_kib_is_not_read() -> None:
    """Nobody makes an EPP chew on megabytes, were they right in every other respect."""
    for length, opens in ((7_000, True), (8_000, False)):
        name = "A" * length
        said = terms(terminal_no=name)
        token = forged(outside=said, block=block_of(said))
        assert (len(token) <= 16_384) is opens
        if opens:
            mine = recipient(terminal_no=name)
            assert open_key_token(token, mine, host_certificate()).key == KEY
        else:
            assert refused(token, recipient(terminal_no=name)) is Rule.MALFORMED


def right_content() -> bytes:
    """A right envelope."""
    certificate = x509.load_der_x509_certificate(sm2_epp().certificate)
    block = key_block(KEY, host_certificate(), gm_terms())
    return envelope(block, certificate, Sm2PublicKey(sm2_epp().pair.point))


def attributes_of(content: bytes, kind: bytes = ids.DATA) -> list[bytes]:
    """The three signed attributes of a right token around this content, in DER's order."""
    digest = Hash(SM3())
    digest.update(content)
    return sorted(
        (
            attribute(ids.CONTENT_TYPE, kind),
            attribute(ids.MESSAGE_DIGEST, octets(digest.finalize())),
            terms_attribute(gm_terms()),
        )
    )


def test_envelope_and_recipient_have_version_1() -> None:
    """Another version is another structure."""
    content = right_content()
    first = content.index(b"\x02\x01\x01")
    second = content.index(b"\x02\x01\x01", first + 1)
    for at in (first + 2, second + 2):
        other = content[:at] + b"\x02" + content[at + 1 :]
        assert refused(forged(content=other)) is Rule.MALFORMED


def test_the_attributes_are_signed_in_ders_order_and_once() -> None:
    """What the KDH signs in another order, twice, or with one more, is malformed."""
    content = right_content()
    right = attributes_of(content)
    token = signed_by_hand(content, right)
    assert open_key_token(token, recipient(), host_certificate()).key == KEY
    more = attribute(oid("1.2.840.113549.1.9.5"), octets(b"now"))
    for listed in (right[::-1], [*right, right[-1]], sorted([*right, more])):
        assert refused(signed_by_hand(content, listed)) is Rule.MALFORMED


def test_the_signed_content_type_is_data() -> None:
    """The type that is signed is the type that stands there."""
    content = right_content()
    other = attributes_of(content, kind=ids.ENVELOPED_DATA)
    assert refused(signed_by_hand(content, other)) is Rule.MALFORMED


class AnyKey:
    """A library that opens everything: what is checked before it is asked is checked by us."""

    GmsslInnerError = RuntimeError

    def sm2_decrypt(self, private_key: bytes, ciphertext: bytes) -> bytes:
        """Give a content key."""
        return private_key[:16]


def test_the_librarys_own_checks_are_not_relied_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A point off the curve, a hash of another length: refused before any arithmetic."""
    monkeypatch.setattr(sm2, "_gmssl", AnyKey())
    pair = sm2_epp().pair
    key, half = sm2.Sm2PrivateKey(pair.secret), len(pair.point) // 2
    x, y = int.from_bytes(pair.point[:half], "big"), int.from_bytes(pair.point[half:], "big")
    rest = octets(bytes(32)), octets(bytes(16))
    assert key.opened(sequence(integer(x), integer(y), *rest)) == pair.secret[:16]
    for wrong in (
        sequence(integer(x), integer(y + 1), *rest),
        sequence(integer(x), integer(-y), *rest),
        sequence(integer(x), integer(y), octets(bytes(31)), rest[1]),
    ):
        with pytest.raises(GmRefused) as error:
            key.opened(wrong)
        assert error.value.rule is Rule.UNOPENED


def test_a_certificates_key_must_be_on_the_curve() -> None:
    """A KDH's certificate with a point off the curve is none, whoever signed it."""
    point = sm2.certified_point(host_certificate())
    der = host_certificate().public_bytes(Encoding.DER)
    at = der.index(point)
    off = x509.load_der_x509_certificate(der[:at] + bytes((der[at] ^ 1,)) + der[at + 1 :])
    with pytest.raises(ValueError, match="off the curve"):
        sm2.certified_point(off)


@pytest.mark.parametrize(
    "missing",
    [ids.CONTENT_TYPE, ids.MESSAGE_DIGEST, ids.KEY_TERMS],
    ids=["type", "digest", "terms"],
)
def test_every_signed_attribute_must_be_there(missing: bytes) -> None:
    """A token that leaves one out, under another name, is malformed whatever its signature."""
    token = gm_token()
    renamed = missing[:-1] + bytes((missing[-1] ^ 0x10,))
    at = token.rindex(missing)
    assert refused(token[:at] + renamed + token[at + len(missing) :]) is Rule.MALFORMED


def test_a_signature_has_one_encoding() -> None:
    """A number of the signature with a zero in front is refused, although its value is right."""
    point, message = sm2_epp().pair.point, b"a message"
    signature = sm2_epp().pair.sign(message)
    sm2.require_signed(point, message, signature)
    length = signature[3]
    padded = b"\x02" + bytes((length + 1,)) + b"\x00" + signature[4:]
    with pytest.raises(ValueError, match="shortest"):
        sm2.require_signed(point, message, wrapped(0x30, padded))


def test_each_rule_has_the_code_that_xfs_gives_it() -> None:
    """A receipt carries XFS4IoT's word for what was wrong."""
    expected: dict[EppCode, set[Rule]] = {
        EppCode.FORMAT_INVALID: {Rule.MALFORMED, Rule.NO_SM2},
        EppCode.ACCESS_DENIED: {Rule.NO_KEY},
        EppCode.INVALID_CERT_STATE: {Rule.HOST_PURPOSE, Rule.HOST_EXPIRED},
        EppCode.SIGNATURE_INVALID: {Rule.SIGNER, Rule.SIGNATURE, Rule.DIGEST},
        EppCode.RANDOM_INVALID: {Rule.NONCE},
        EppCode.CONTENT_INVALID: {
            *(Rule.TERMINAL, Rule.REQUEST, Rule.RECIPIENT, Rule.EXPIRED, Rule.UNOPENED),
            *(Rule.HOST_INSIDE, Rule.TERMS_INSIDE),
        },
        EppCode.USE_VIOLATION: {Rule.USE},
        EppCode.INVALID_KEY_LENGTH: {Rule.KEY_LENGTH},
    }
    assert set().union(*expected.values()) == set(Rule)
    for code, rules in expected.items():
        assert {GmRefused(rule).code for rule in rules} == {code}


def test_without_the_library_nothing_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without `gmssl-pyx` a token is refused, and for that reason."""
    token = gm_token()
    monkeypatch.setattr(sm2, "_gmssl", None)
    assert refused(token) is Rule.NO_SM2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pkcs8: pkcs8[:-1],
        lambda pkcs8: b"",
        lambda pkcs8: pkcs8.replace(
            bytes.fromhex("2a811ccf5501822d"), bytes.fromhex("2a8648ce3d030107")
        ),
    ],
    ids=["cut", "empty", "P-256"],
)
def test_a_private_key_of_another_kind_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    """The EPP says that it has no SM2 key."""
    with pytest.raises(GmRefused) as error:
        sm2.Sm2PrivateKey.read(spoil(sm2_epp().pair.pkcs8))
    assert error.value.rule is Rule.NO_KEY
