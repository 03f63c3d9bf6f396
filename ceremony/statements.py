"""The kinds of signed statement and the payload of each (docs/statements.md has an example each).

Payloads are strict: an unknown, missing or loosely typed field is refused. `administrator` is
always a staff number, `person` the registry's identifier of a human being.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ceremony.encoding import b64url, from_hex

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Kcv = Annotated[str, Field(pattern=r"^[0-9a-f]{6}$")]
RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{24}$")]
TerminalNo = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9-]{0,31}$")]
StaffNo = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
Person = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Text = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
Seconds = Annotated[int, Field(ge=0, le=253_402_300_799)]
Seq = Annotated[int, Field(ge=0, le=2**53)]

REQUEST_ID_BYTES: Final = 18
PREFIX: Final = "keyfill."
SUFFIX: Final = "+jws"


class Kind(StrEnum):
    """What a statement says; each kind has its own `typ`, so none passes for another."""

    REQUEST = "request"
    APPLICATION = "application"
    DECISION = "decision"
    CONFIRMATION = "confirmation"
    RECEIPT = "receipt"
    CANCELLATION = "cancellation"
    LOGIN = "login"
    TERMINAL_ENTRY = "terminal-entry"
    CREDENTIAL_ENTRY = "credential-entry"
    RELEASE_RECORD = "release-record"
    REMOVAL_ORDER = "removal-order"
    REVOCATION = "revocation"
    KEY_ORDER = "key-order"

    @property
    def typ(self) -> str:
        """The protected header's `typ` (RFC 7515 section 4.1.9)."""
        return f"{PREFIX}{self.value}{SUFFIX}"

    @classmethod
    def of_typ(cls, typ: str) -> "Kind":
        """Find the kind of a `typ`.

        Raises:
            ValueError: if no kind has it.
        """
        if not (typ.startswith(PREFIX) and typ.endswith(SUFFIX)):
            raise ValueError("unknown typ")
        return cls(typ[len(PREFIX) : -len(SUFFIX)])


class Payload(BaseModel):
    """What every statement says: for which deployment, when by the signer's clock, and once.

    `aud` names the deployment, `iat` is Unix time in seconds, `nonce` 16 random bytes as hex.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    aud: Annotated[str, Field(min_length=1, max_length=100)]
    iat: Seconds
    nonce: Nonce


class RequestPayload(Payload):
    """The terminal asks for a key. `challenge` is the server's; `formats` are best first."""

    terminal_no: TerminalNo
    epp_fingerprint: Digest
    formats: Annotated[tuple[Code, ...], Field(min_length=1, max_length=8)]
    challenge: Annotated[str, Field(max_length=200)]
    current_kcv: Kcv | None
    reload_reason: Text | None


class RequestBound(Payload):
    """A statement about one loading request of one terminal."""

    request_id: RequestId
    terminal_no: TerminalNo


class ApplicationPayload(RequestBound):
    """The first administrator applies; `terminal_no` as typed; valid for 24 hours at most."""

    administrator: StaffNo
    epp_fingerprint: Digest
    registry_digest: Digest
    qr_digest: Digest
    expires_at: Seconds


class DecisionPayload(RequestBound):
    """The second administrator approves or rejects one application, for one hour at most."""

    administrator: StaffNo
    epp_fingerprint: Digest
    registry_digest: Digest
    application_digest: Digest
    decision: Literal["approve", "reject"]
    reason_code: Code | None
    reason: Text | None
    expires_at: Seconds


class ConfirmationPayload(RequestBound):
    """The terminal confirms; `administrator` as typed there; `krd_nonce` is the EPP's."""

    administrator: StaffNo
    epp_fingerprint: Digest
    qr_digest: Digest
    krd_nonce: Nonce


class ReceiptPayload(RequestBound):
    """The terminal's answer: the key is in, with its KCV, or refused with the XFS error."""

    epp_fingerprint: Digest
    token_digest: Digest
    outcome: Literal["loaded", "refused"]
    kcv: Kcv | None
    error: Annotated[str, Field(pattern=r"^[A-Za-z]{1,40}$")] | None
    epp_proof: Annotated[str, Field(max_length=8192)] | None


class CancellationPayload(RequestBound):
    """The terminal or an administrator ends the loading request before release."""

    reason_code: Code
    reason: Text | None


class LoginPayload(Payload):
    """An administrator or auditor proves an enrolled credential; `challenge` is the server's."""

    administrator: StaffNo
    challenge: Annotated[str, Field(max_length=200)]


class ReleaseRecordPayload(RequestBound):
    """What the key worker relied on when it released a key, signed by its record key."""

    request: Digest
    application: Digest
    decision: Digest
    confirmation: Digest
    terminal_entry: Digest
    first_entry: Digest
    second_entry: Digest
    checks: tuple[Code, ...]
    key_algorithm: Annotated[str, Field(max_length=16)]
    token_digest: Digest
    kcv_digest: Digest


class RemovalOrderPayload(Payload):
    """An officer lets one synchronisation remove up to `most` terminals, until `expires_at`."""

    most: Annotated[int, Field(ge=1, le=1_000_000)]
    expires_at: Seconds


class RevocationPayload(Payload):
    """An officer takes away every entry of one person or terminal up to `seq`, for ever."""

    person: Person | None
    terminal_no: TerminalNo | None
    seq: Seq
    reason_code: Code

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.person is None) is (self.terminal_no is None):
            raise ValueError("a revocation is about one person or one terminal")
        return self


class KeyOrderPayload(RequestBound):
    """Officers order what becomes of one loading request's key; `ceremony.keylife` says how many.

    `settle-loaded` and `settle-not-loaded` decide an unconfirmed key, `revoke` marks a key
    compromised, `destroy` takes away the host's last copy.
    """

    order: Literal["settle-loaded", "settle-not-loaded", "revoke", "destroy"]
    reason_code: Code
    reason: Text | None


class PublicJwk(BaseModel):
    """A public JWK (RFC 7517) inside an entry: exactly its public members and `alg`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    kty: Annotated[str, Field(max_length=8)]
    alg: Annotated[str, Field(max_length=8)]
    crv: Annotated[str, Field(max_length=16)] | None = None
    x: Annotated[str, Field(max_length=100)] | None = None
    y: Annotated[str, Field(max_length=100)] | None = None
    n: Annotated[str, Field(max_length=1400)] | None = None
    e: Annotated[str, Field(max_length=16)] | None = None

    def members(self) -> dict[str, str]:
        """The JWK's members that are present."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class TerminalEntry(Payload):
    """The ATM back office's word on a terminal: its EPP, device key and two administrators."""

    terminal_no: TerminalNo
    model: Name
    branch: Name
    epp_certificate: Annotated[str, Field(max_length=8192)]
    device_key: PublicJwk
    first: Person
    second: Person
    seq: Seq
    valid_until: Seconds


class CredentialEntry(Payload):
    """A person's credential and number; `credential_id` (base64url) marks a passkey."""

    person: Person
    staff_no: StaffNo
    name: Name
    roles: Annotated[tuple[Literal["administrator", "auditor"], ...], Field(max_length=2)]
    public_key: PublicJwk
    credential_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,1400}$")] | None
    number: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$", repr=False)]
    seq: Seq
    valid_until: Seconds


PAYLOADS: Final[Mapping[Kind, type[Payload]]] = MappingProxyType(
    {
        Kind.REQUEST: RequestPayload,
        Kind.APPLICATION: ApplicationPayload,
        Kind.DECISION: DecisionPayload,
        Kind.CONFIRMATION: ConfirmationPayload,
        Kind.RECEIPT: ReceiptPayload,
        Kind.CANCELLATION: CancellationPayload,
        Kind.LOGIN: LoginPayload,
        Kind.TERMINAL_ENTRY: TerminalEntry,
        Kind.CREDENTIAL_ENTRY: CredentialEntry,
        Kind.RELEASE_RECORD: ReleaseRecordPayload,
        Kind.REMOVAL_ORDER: RemovalOrderPayload,
        Kind.REVOCATION: RevocationPayload,
        Kind.KEY_ORDER: KeyOrderPayload,
    }
)

KIND_OF: Final[Mapping[type[Payload], Kind]] = MappingProxyType(
    {payload: kind for kind, payload in PAYLOADS.items()}
)


def request_id_of(request_digest: str) -> str:
    """Derive the loading request's id from the digest of its `request` statement.

    The first 18 bytes as base64url, 24 characters: the same after any retry, replay or reset.
    """
    return b64url(from_hex(request_digest)[:REQUEST_ID_BYTES])
