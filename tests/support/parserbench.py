"""Every parser that reads what strangers send, over one world, with the rule that each must keep.

Whatever comes in, a parser either refuses it with its own documented error, or gives back what
somebody in the world really signed or sealed. Anything else fails: an `AssertionError` for a
forgery that was taken, or the undocumented error itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

from ceremony.challenges import Challenges
from ceremony.encoding import EncodingError, b64url, from_b64url, strict_json
from ceremony.eppcertificate import EntryError, read_epp_certificate
from ceremony.keys import SigningKey
from ceremony.passkeys import Assertion
from ceremony.qr import QrContents, QrError, QrSeal, qr_text, token_of
from ceremony.registry import (
    envelope_statements,
    officers_of,
    read_credential_entry,
    read_enrolment,
    read_terminal_entry,
)
from ceremony.statements import PAYLOADS, Payload
from ceremony.trust import Trust, TrustError
from ceremony.verification import (
    EnrolledKey,
    StatementError,
    Verified,
    assertion_text,
    peek,
    verify,
)
from tests.support.forging import raw_jws
from tests.support.identities import AUDIENCE, ORIGIN, JwkSigner, passkey_signer
from tests.support.world import World

MAX_DEPTH: Final = 8


@dataclass
class ParserBench:
    """A world's genuine inputs, and every parser with its rule; use `make`.

    `jws`, `assertions` and `envelopes` are genuine texts, `digests` what they and no others say.
    Each method takes one hostile input and gives whether it was accepted.
    """

    world: World
    trust: Trust
    keys: tuple[EnrolledKey, ...]
    seal: QrSeal
    sealed: QrContents
    challenges: Challenges
    challenge: str
    jws: tuple[str, ...]
    assertions: tuple[str, ...]
    envelopes: tuple[str, ...]
    digests: frozenset[str] = field(repr=False)

    @classmethod
    def make(cls) -> Self:
        """Sign one statement of each kind, as JWS and by passkeys, and every entry."""
        world = World.make(first=passkey_signer("first"))
        request = world.request()
        application = world.application(request)
        decision = world.decision(application)
        confirmation = world.confirmation(application)
        signed: list[Verified[Any]] = [
            request,
            application,
            decision,
            confirmation,
            world.receipt(confirmation),
            world.cancellation(request),
            world.cancellation(request, signer=world.first.signer),
            world.login(world.first),
            world.login(world.third),
        ]
        people = (world.first, world.second, world.third)
        envelopes = (*world.terminal_envelopes.values(), *world.credential_envelopes.values())
        entries = [one for envelope in envelopes for one in envelope_statements(envelope)]
        texts = [*(one.text for one in signed), *entries]
        return cls(
            world=world,
            trust=world.trust,
            keys=(
                *(one.signer.enrolled for one in people),
                *(one.device.enrolled for one in (world.terminal, world.other)),
                *world.trust.feed,
                *world.trust.officer_keys,
            ),
            seal=world.qr,
            sealed=world.shown_qr(request),
            challenges=world.challenges,
            challenge=world.challenges.issue(world.now),
            jws=tuple(text for text in texts if not text.startswith("{")),
            assertions=tuple(text for text in texts if text.startswith("{")),
            envelopes=envelopes,
            digests=frozenset(peek(text).digest for text in texts),
        )

    @property
    def qr_text(self) -> str:
        """The genuine QR text."""
        return qr_text(ORIGIN, self.seal.token(self.sealed))

    def payload(self, kind: str) -> bytes:
        """The payload of a genuine JWS of this kind."""
        found = next(text for text in self.jws if peek(text).kind == kind)
        return from_b64url(found.split(".")[1])

    # the parsers

    def statement(self, text: str, expected: type[Payload] | None = None) -> bool:
        """`verification.peek` and `verify`, against every key in the world."""
        try:
            claimed = peek(text)
            verified = verify(
                text,
                expected or PAYLOADS[claimed.kind],
                self.keys,
                audience=AUDIENCE,
                passkeys=self.trust.passkeys,
            )
        except StatementError:
            return False
        self._genuine(verified.digest)
        assert claimed.digest == verified.digest
        return True

    def envelope(self, text: str) -> bool:
        """Every reader of registry envelopes."""
        read = (
            _or_none(lambda: envelope_statements(text), EntryError),
            _or_none(lambda: officers_of(text, self.trust), EntryError),
        )
        assert read[0] is None or len(read[0]) <= MAX_DEPTH
        now = self.world.now
        entries = (
            _or_none(lambda: read_terminal_entry(text, self.trust, now=now), EntryError),
            _or_none(lambda: read_credential_entry(text, self.trust, now=now), EntryError),
            _or_none(lambda: read_enrolment(text, self.trust, now=now), EntryError),
        )
        for entry in entries:
            if entry is not None:
                self._genuine(entry.digest)
        return any(entry is not None for entry in entries)

    def json(self, data: bytes | str) -> bool:
        """`encoding.strict_json`: an object, no deeper than it may be."""
        value = _or_none(lambda: strict_json(data), EncodingError)
        assert value is None or _depth(value) <= MAX_DEPTH
        return value is not None

    def base64url(self, text: str) -> bool:
        """`encoding.from_b64url`: one text for one value."""
        data = _or_none(lambda: from_b64url(text), EncodingError)
        assert data is None or b64url(data) == text
        return data is not None

    def qr(self, text: str) -> bool:
        """`qr.token_of` and `open`: only the one code that was sealed."""
        contents = _or_none(lambda: self.seal.open(token_of(text, ORIGIN)), QrError)
        assert contents in (None, self.sealed)
        return contents is not None

    def challenge_text(self, text: str) -> bool:
        """`Challenges.check`: only the one challenge that was issued."""
        try:
            self.challenges.check(text, self.world.now)
        except StatementError:
            return False
        assert text == self.challenge
        return True

    def trust_file(self, text: str | bytes) -> bool:
        """`Trust.read`: nobody signs it, so it may be accepted; two officers stay needed."""
        trust = _or_none(lambda: Trust.read(text), TrustError)
        assert trust is None or len({k.public_key.kid for k in trust.officer_keys}) >= 2
        return trust is not None

    def certificate(self, der: bytes) -> bool:
        """`read_epp_certificate`: only certificates that the pinned root issued."""
        epp = _or_none(
            lambda: read_epp_certificate(der, self.trust.roots, now=self.world.now), EntryError
        )
        known = {one.epp.fingerprint for one in (self.world.terminal, self.world.other)}
        assert epp is None or epp.fingerprint in known
        return epp is not None

    # inputs that a parser sees only behind an encoding or a signature

    def jws_of(self, header: bytes, payload: bytes, signature: bytes) -> bool:
        """A compact JWS of these bytes."""
        return self.statement(".".join(b64url(part) for part in (header, payload, signature)))

    def assertion_of(self, typ: str, payload: bytes, **parts: bytes) -> bool:
        """A statement in the WebAuthn form, by the first administrator's credential."""
        credential_id = self.world.first.signer.enrolled.credential_id or ""
        assertion: Any = Assertion(credential_id, **parts)
        return self.statement(assertion_text(typ, payload, assertion))

    def self_signed(self, payload: bytes, key: SigningKey) -> bool:
        """An enrolment: the stranger's own key really signs whatever the payload says."""
        return self._entry("credential-entry", payload, key, read_enrolment)

    def fed(self, payload: bytes) -> bool:
        """A terminal entry that the back office really signed, whatever it says."""
        return self._entry("terminal-entry", payload, self.world.feed, read_terminal_entry)

    def _entry(
        self, kind: str, payload: bytes, key: SigningKey, read: Callable[..., object]
    ) -> bool:
        header = {"alg": key.alg, "kid": key.kid, "typ": f"keyfill.{kind}+jws"}
        envelope = '{"statements":["' + raw_jws(header, payload, key) + '"]}'
        return (
            _or_none(lambda: read(envelope, self.trust, now=self.world.now), EntryError) is not None
        )

    def _genuine(self, digest: str) -> None:
        assert digest in self.digests, "accepted what nobody signed"


def own_key(bench: ParserBench) -> SigningKey:
    """The third person's key: a JWK that may enrol itself."""
    signer = bench.world.third.signer
    assert isinstance(signer, JwkSigner)
    return signer.key


def _or_none(read: Callable[[], Any], refused: type[Exception]) -> Any:
    try:
        return read()
    except refused:
        return None


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(one) for one in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(one) for one in value), default=0)
    return 0
