"""Sketches of terminal entries, as far as the planning of a synchronisation looks at them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa

from ceremony.encoding import sha256_hex
from ceremony.eppcertificate import EppCertificate
from ceremony.keyclaims import key_claims
from ceremony.keys import PublicKey, SigningKey
from ceremony.reasons import Reason
from ceremony.registry import VerifiedTerminal
from ceremony.statements import PublicJwk, TerminalEntry
from ceremony.syncplan import SyncPlan, plan_sync
from ceremony.syncrows import FeedRow, IndexedTerminal, LaterEntry
from ceremony.verification import EnrolledKey

OFFICER = frozenset({"officer"})
OFFICERS = frozenset({"officer", "another officer"})
"""As many as may give a terminal other administrators."""


@cache
def rsa_key() -> rsa.RSAPublicKey:
    """One RSA key for every certificate: a plan looks at fingerprints only."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()


@cache
def device_key(name: str) -> PublicKey:
    """The device key of this name."""
    return SigningKey.generate("ES256").public


@dataclass(frozen=True)
class Sketch:
    """A terminal entry as far as a plan looks at it; keys and people go by short names."""

    no: str
    seq: int = 1
    epp: str = ""
    certificate: str = ""
    device: str = ""
    first: str = "ann"
    second: str = "ben"
    branch: str = "b"
    officers: frozenset[str] = frozenset()

    @property
    def epp_key_fingerprint(self) -> str:
        """Of the EPP's key, whatever its certificate."""
        return sha256_hex(f"key {self.epp or self.no}".encode())

    @property
    def epp_fingerprint(self) -> str:
        """Of the EPP's certificate."""
        return sha256_hex(f"certificate {self.epp or self.no} {self.certificate}".encode())

    @property
    def device_kid(self) -> str:
        """The device key's real key id."""
        return device_key(self.device or self.no).kid

    @property
    def digest(self) -> str:
        """Of the entry, whoever signed it."""
        return sha256_hex(repr(replace(self, officers=frozenset())).encode())

    def verified(self) -> VerifiedTerminal:
        """The entry as `read_terminal_entry` would give it."""
        return VerifiedTerminal(
            entry=TerminalEntry.model_construct(
                aud="test",
                iat=0,
                nonce="00" * 16,
                terminal_no=self.no,
                model="M",
                branch=self.branch,
                epp_certificate="",
                device_key=PublicJwk(kty="EC", alg="ES256"),
                first=self.first,
                second=self.second,
                seq=self.seq,
                valid_until=0,
            ),
            digest=self.digest,
            envelope="{}",
            epp=EppCertificate(
                der=b"",
                fingerprint=self.epp_fingerprint,
                key_fingerprint=self.epp_key_fingerprint,
                public_key=rsa_key(),
                not_after=datetime.max.replace(tzinfo=UTC),
            ),
            device_key=EnrolledKey(device_key(self.device or self.no)),
            officers=self.officers,
            may_reassign=self.officers >= OFFICERS,
        )

    def row(self, position: str = "") -> FeedRow:
        """The entry as a feed's row."""
        return FeedRow.read(position or f"line of {self.no}", self.verified())

    def indexed(self, *, in_force: bool = True, later: LaterEntry | None = None) -> IndexedTerminal:
        """The entry as the registry's index has it."""
        return IndexedTerminal(
            terminal_no=self.no,
            digest=self.digest,
            seq=self.seq,
            epp_key_fingerprint=self.epp_key_fingerprint,
            epp_fingerprint=self.epp_fingerprint,
            device_kid=self.device_kid,
            first=self.first,
            second=self.second,
            in_force=in_force,
            later=later,
        )

    def later(self, *, cooling: bool) -> LaterEntry:
        """The entry as one on record that has not taken effect."""
        claims = key_claims(self.epp_key_fingerprint, self.device_kid)
        return LaterEntry(self.digest, self.seq, cooling, claims)


def plan(registry: list[Sketch], feed: list[Sketch]) -> SyncPlan:
    """The plan for a registry in force and a feed that was read without a refusal."""
    return plan_sync([one.indexed() for one in registry], [one.row() for one in feed])


def numbers(entries: tuple[VerifiedTerminal, ...]) -> set[str]:
    """The terminal numbers of some entries."""
    return {one.entry.terminal_no for one in entries}


def reasons(result: SyncPlan) -> set[tuple[str | None, Reason]]:
    """Who was refused, and why."""
    return {(row.terminal_no, row.reason) for row in result.refused}


KNOWN = Sketch("T1", seq=5)
OTHER = Sketch("T2", seq=5)
