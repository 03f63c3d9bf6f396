"""A small deployment for tests: trust file, registry in force, people, secrets, and a clock."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Self

from ceremony.challenges import Challenges
from ceremony.codes import CodeBook, EdgeSeal
from ceremony.encoding import b64
from ceremony.keys import SigningKey
from ceremony.qr import QrSeal
from ceremony.registry import (
    VerifiedCredential,
    VerifiedTerminal,
    read_credential_entry,
    read_terminal_entry,
    seal_envelope,
)
from ceremony.release_rule import Entries, ReleaseSecrets
from ceremony.signing import sign
from ceremony.standing import Standing, standing_of
from ceremony.statements import CredentialEntry, PublicJwk, TerminalEntry
from ceremony.trust import Trust
from tests.support.identities import (
    AUDIENCE,
    Administrator,
    Signer,
    Terminal,
    administrator,
    jwk_signer,
    passkey_signer,
    signing_key,
    terminal,
    trust_text,
)

START: Final = 1_800_000_000
"""Where the clock stands at first: 15 January 2027, Unix seconds."""
YEAR: Final = 31_536_000

SMS_SECRET: Final = b"sms secret of the test worlds only"
EDGE_KEY: Final = b"edge key of the test worlds, no other"
QR_KEY: Final = b"The QR key of the test worlds has 64 bytes and is no secret at a"
CHALLENGE_KEY: Final = b"challenge key of the test worlds"


@dataclass
class Deployment:
    """Trust, registry, people, secrets and a clock; use `make`.

    `first` and `second` administer both `terminal` and `other`; `third` has a good credential
    but administers nothing. `terminal_envelopes` (by number) and `credential_envelopes` (by
    person) are the registry in force.
    """

    now: int
    feed: SigningKey
    officers: tuple[SigningKey, ...]
    trust_file: str
    terminal: Terminal
    other: Terminal
    first: Administrator
    second: Administrator
    third: Administrator
    seq: int = 1
    nonces: int = 0
    terminal_envelopes: dict[str, str] = field(default_factory=dict)
    credential_envelopes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(
        cls, *, now: int = START, first: Signer | None = None, second: Signer | None = None
    ) -> Self:
        """Make a world; the first administrator has a JWK, the second a passkey, unless given."""
        officers = tuple(signing_key(f"officer {n}") for n in range(3))
        feed = signing_key("feed")
        world = cls(
            now=now,
            feed=feed,
            officers=officers,
            trust_file=trust_text(feed, officers),
            terminal=terminal("ATM-0001"),
            other=terminal("ATM-0002"),
            first=administrator(1, first or jwk_signer("first")),
            second=administrator(2, second or passkey_signer("second")),
            third=administrator(3, jwk_signer("third", "EdDSA")),
        )
        for one in (world.terminal, world.other):
            world.terminal_envelopes[one.terminal_no] = world.terminal_entry(one)
        for person in (world.first, world.second, world.third):
            world.credential_envelopes[person.person] = world.credential_entry(person)
        return world

    @property
    def trust(self) -> Trust:
        """The trust file, read."""
        return Trust.read(self.trust_file)

    @property
    def codes(self) -> CodeBook:
        """The code book under `SMS_SECRET`."""
        return CodeBook(SMS_SECRET)

    @property
    def edge(self) -> EdgeSeal:
        """The edge seal under `EDGE_KEY`."""
        return EdgeSeal(EDGE_KEY)

    @property
    def qr(self) -> QrSeal:
        """The QR seal under `QR_KEY`."""
        return QrSeal(QR_KEY, AUDIENCE)

    @property
    def challenges(self) -> Challenges:
        """The challenges under `CHALLENGE_KEY`."""
        return Challenges(CHALLENGE_KEY)

    @property
    def release_secrets(self) -> ReleaseSecrets:
        """What the key worker holds to prove codes and QR codes."""
        return ReleaseSecrets(self.codes, self.edge, self.qr)

    def cool_off(self, seconds: int) -> None:
        """Let changes of administrators wait from now on."""
        trust = {**json.loads(self.trust_file), "cooling_off_seconds": seconds}
        self.trust_file = json.dumps(trust)

    def pass_time(self, seconds: int) -> None:
        """Move the clock."""
        self.now += seconds

    def nonce(self) -> str:
        """The next nonce: a counter, so that runs repeat."""
        self.nonces += 1
        return f"{self.nonces:032x}"

    def common(self) -> dict[str, Any]:
        """The fields that every statement has: audience, time, and the next nonce."""
        return {"aud": AUDIENCE, "iat": self.now, "nonce": self.nonce()}

    def terminal_entry(
        self,
        about: Terminal | None = None,
        *,
        signers: Iterable[SigningKey] | None = None,
        **fields: Any,
    ) -> str:
        """Sign a terminal entry by the feed key, or by `signers`, and give its envelope."""
        one = about or self.terminal
        entry = TerminalEntry(
            **{
                **self.common(),
                "terminal_no": one.terminal_no,
                "model": "Sample 280",
                "branch": "Main Street",
                "epp_certificate": b64(one.epp.certificate),
                "device_key": PublicJwk(**one.device.key.public.jwk),
                "first": one.first,
                "second": one.second,
                "seq": self.seq,
                "valid_until": self.now + YEAR,
                **fields,
            }
        )
        by = (self.feed,) if signers is None else signers
        return seal_envelope(sign(entry, key) for key in by)

    def credential_entry(
        self,
        about: Administrator | None = None,
        *,
        officers: int = 2,
        own: bool = True,
        **fields: Any,
    ) -> str:
        """Sign a credential entry by its own key and `officers` officers; give its envelope."""
        one = about or self.first
        enrolled = one.signer.enrolled
        entry = CredentialEntry(
            **{
                **self.common(),
                "person": one.person,
                "staff_no": one.staff_no,
                "name": one.name,
                "roles": ("administrator",),
                "public_key": PublicJwk(**enrolled.public_key.jwk),
                "credential_id": enrolled.credential_id,
                "number": one.number,
                "seq": self.seq,
                "valid_until": self.now + YEAR,
                **fields,
            }
        )
        mine = [one.signer.sign(entry)] if own else []
        return seal_envelope([*mine, *(sign(entry, key) for key in self.officers[:officers])])

    def read_terminal(self, envelope: str) -> VerifiedTerminal:
        """Verify a terminal entry as the system does, now."""
        return read_terminal_entry(envelope, self.trust, now=self.now)

    def read_credential(self, envelope: str) -> VerifiedCredential:
        """Verify a credential entry as the system does, now."""
        return read_credential_entry(envelope, self.trust, now=self.now)

    def entries(self, about: Terminal | None = None) -> Entries:
        """The three envelopes in force for a terminal."""
        one = about or self.terminal
        return Entries(
            terminal=self.terminal_envelopes[one.terminal_no],
            first=self.credential_envelopes[one.first],
            second=self.credential_envelopes[one.second],
        )

    def standing(self, about: Terminal | None = None) -> Standing:
        """The registry's standing on a terminal, verified now."""
        entries = self.entries(about)
        return standing_of(
            self.read_terminal(entries.terminal),
            self.read_credential(entries.first),
            self.read_credential(entries.second),
        )
