"""Rows for a journal: one request of one terminal, and more where a test names them."""

from ceremony.encoding import sha256_hex
from ceremony.keylife import OFFICERS_OF, KeyAct
from keymanagement.journal import Journal
from keymanagement.journalrows import (
    ENTRIES,
    HeldKey,
    IssuedToken,
    NewKey,
    NewToken,
    ReleaseIntent,
)
from keymanagement.orderrows import OrderIntent
from keymanagement.port import KeyAlgorithm, KeyToken

NOW = 1_790_000_000
REQUEST = "A" * 24


def digest(name: str) -> str:
    """A digest that a name stands for."""
    return sha256_hex(name.encode())


def identity_of(journal: Journal, kind: str, name: str) -> str | None:
    """The identity digest of a subject's entry in effect, as the journal's file has it."""
    file = journal._file
    with file.transaction(write=False):
        row = file.get(ENTRIES, kind=kind, name=name)
    return None if row is None else str(row["identity_digest"])


def intent(
    confirmation: str = "first", *, request_id: str = REQUEST, terminal_no: str = "ATM-0001"
) -> ReleaseIntent:
    """The intent of a request's release."""
    return ReleaseIntent(request_id, terminal_no, digest("epp"), digest(confirmation), NOW)


def new_key(*, request_id: str = REQUEST, created_at: int = NOW) -> NewKey:
    """What a release makes."""
    return NewKey(
        request_id=request_id,
        algorithm=KeyAlgorithm.AES_128,
        host_block=b"host's copy of " + request_id.encode(),
        kcv="08793e",
        record="release record of " + request_id,
        created_at=created_at,
        uniqueness=bytes.fromhex(digest(f"key of {request_id}")),
    )


def new_token(confirmation: str, *, request_id: str = REQUEST) -> NewToken:
    """A token for a confirmation, with a nonce of its own."""
    value = f"token for {confirmation} of {request_id}".encode()
    token = KeyToken("oaep-jws", value, KeyAlgorithm.AES_128, sha256_hex(value))
    nonce = digest(f"nonce of {confirmation}")[:32]
    return NewToken(digest(confirmation), request_id, nonce, token, NOW)


def released(
    journal: Journal,
    *,
    request_id: str = REQUEST,
    terminal_no: str = "ATM-0001",
    confirmation: str = "first",
    created_at: int = NOW,
) -> tuple[HeldKey, IssuedToken]:
    """Release a request's key."""
    journal.begin_release(intent(confirmation, request_id=request_id, terminal_no=terminal_no))
    return journal.save_key_and_first_token(
        new_key(request_id=request_id, created_at=created_at),
        new_token(confirmation, request_id=request_id),
    )


def ordered(
    act: KeyAct,
    *,
    request_id: str = REQUEST,
    terminal_no: str = "ATM-0001",
    name: str | None = None,
) -> OrderIntent:
    """Officers' verified order about a request's key; `name` tells one from the next."""
    return OrderIntent(
        digest=digest(name or f"{act.value} {request_id}"),
        request_id=request_id,
        terminal_no=terminal_no,
        act=act,
        actor=OFFICERS_OF[act],
        intent_at=NOW,
    )
