"""The key worker's journal: what makes a release happen once, whatever Temporal does.

Intent first, then the act, then the outcome in one transaction. Every method finds or creates: a
call repeated after a crash, by a retry, a reset or a second worker reads the winner's row, so a
request has one key and a confirmation one token, byte for byte. The order of a release is
`begin_release`, `token_for`, (make key and token), `save_key_and_first_token`; of a re-wrap
`token_for`, (make token), `save_rewrap`; then `settle`.

A crash between intent and outcome leaves an intent without a key: nothing went out, and the next
call makes the key. Methods block for as long as the disk does; call them off the event loop.
"""

from pathlib import Path
from typing import Final, Self

from keymanagement.codetries import begin_try, right_code, wrong_tries
from keymanagement.duplicates import duplicate_of, note_key
from keymanagement.journalerrors import (
    DuplicateKey,
    JournalConflict,
    NonceReused,
    RewrapsExhausted,
)
from keymanagement.journalfile import JournalFile
from keymanagement.journalrows import (
    KEYS,
    RELEASES,
    TABLES,
    TOKENS,
    WRONG_CODES,
    CodeTry,
    HeldKey,
    IssuedToken,
    KeyState,
    NewKey,
    NewToken,
    ReleaseIntent,
    Settlement,
    row_of,
)
from keymanagement.kcvseal import KcvSeal
from keymanagement.ordering import begin_order, finish_order, retired_beside
from keymanagement.orderrows import KEY_ORDERS, CarriedOrder, OrderIntent
from keymanagement.registryjournal import RegistryJournal
from keymanagement.renewal import RenewalPlace, Renewed, RenewKey, renew
from keymanagement.settling import active_of, settle

MOST_REWRAPS: Final = 3


class Journal(RegistryJournal):
    """The journal of one key worker; safe for threads and for several processes on one host."""

    def __init__(self, path: Path, kek: bytes, *previous: bytes, create: bool = False) -> None:
        """Open the journal under its KEK; with `create`, make an empty one if there is none.

        While a KEK is being replaced, `previous` still opens what `renew` has not reached yet.

        Only setting up creates: a key worker that found no journal and went on would not know
        which keys it has released.

        Raises:
            JournalMissing: if there is none and `create` is not given.
            JournalCorrupt: if it was changed from outside, or is under another KEK.
            KekInvalid: if the KEK is not 32 bytes.
        """
        self._kcvs = KcvSeal(kek, *previous)
        super().__init__(JournalFile(path, kek, TABLES, create=create, previous=previous))

    def __enter__(self) -> Self:
        """Hold the journal for a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def verify(self) -> None:
        """Check every row; its time grows with the journal.

        Raises:
            JournalCorrupt: at the first row that is not as it was written.
        """
        with self._file.transaction(write=False):
            self._file.verify()

    def renew(self, place: RenewalPlace, renew_key: RenewKey | None, *, limit: int) -> Renewed:
        """Bring the next rows under the newest KEK, all of them or none; repeatable.

        Without `renew_key` the host's copies are left as they are: they are not under the KEK.

        Raises:
            JournalCorrupt: at a row that is not as it was written under any of the KEKs.
            KeyManagementError: if a host's copy or a KCV opens under none of them.
        """
        with self._file.transaction():
            return renew(self._file, self._kcvs, place, renew_key, limit)

    def begin_release(self, intent: ReleaseIntent) -> ReleaseIntent:
        """Write the intent to release, or return the one that was first.

        The returned intent may name another confirmation, of a terminal that lost its nonce.

        Raises:
            JournalConflict: if the first names another terminal or EPP.
        """
        with self._file.transaction():
            first = self._release(intent.request_id)
            if first is None:
                self._file.insert(RELEASES, row_of(intent, RELEASES))
                return intent
        if (first.terminal_no, first.epp_fingerprint) != (
            intent.terminal_no,
            intent.epp_fingerprint,
        ):
            raise JournalConflict("the request was released for another terminal or EPP")
        return first

    def has_active_key(self, terminal_no: str) -> bool:
        """Tell whether a terminal has an active key."""
        with self._file.transaction(write=False):
            return bool(active_of(self._file, terminal_no))

    def release_of(self, request_id: str) -> ReleaseIntent | None:
        """Return the intent of a request."""
        with self._file.transaction(write=False):
            return self._release(request_id)

    def key_of(self, request_id: str) -> HeldKey | None:
        """Return the key of a request."""
        with self._file.transaction(write=False):
            return self._key(request_id)

    def kcv_of(self, request_id: str) -> str:
        """Open the sealed KCV of a request's key: to check a receipt, for nothing else.

        Raises:
            JournalConflict: if the request has no key.
            SealedKcvInvalid: if it was not sealed for this request.
        """
        with self._file.transaction(write=False):
            row = self._file.get(KEYS, request_id=request_id)
        if row is None:
            raise JournalConflict("the request has no key")
        return self._kcvs.open(request_id, row["kcv_sealed"])

    def kcv_digest(self, request_id: str, kcv: str) -> str:
        """Commit to a KCV in a release record, in a form that guessing does not undo."""
        return self._kcvs.digest(request_id, kcv)

    def token_for(self, confirmation_digest: str) -> IssuedToken | None:
        """Return the token that answers a confirmation, if one was made."""
        with self._file.transaction(write=False):
            return self._token(confirmation_digest)

    def tokens_of(self, request_id: str) -> tuple[IssuedToken, ...]:
        """Return a request's tokens, first one first."""
        with self._file.transaction(write=False):
            return self._tokens(request_id)

    def duplicate_of(self, request_id: str) -> str | None:
        """Return the loading request that first had the key made for this one, if that ended it."""
        with self._file.transaction(write=False):
            return duplicate_of(self._file, request_id)

    def save_key_and_first_token(self, key: NewKey, token: NewToken) -> tuple[HeldKey, IssuedToken]:
        """Write a request's key and its first token together, or return those that were first.

        The returned token is the one of ordinal 0. If it answers another confirmation than the
        caller's, that caller lost a race and has to wrap the winner's key again.

        Raises:
            JournalConflict: if there is no intent, key and token are of different requests, or
                the confirmation has a token of another request.
            DuplicateKey: if the same key was saved before, or such a key was made for the request;
                only this refusal is written, and the request gets no key any more.
        """
        if key.request_id != token.request_id:
            raise JournalConflict("key and token are of different requests")
        with self._file.transaction():
            if self._release(key.request_id) is None:
                raise JournalConflict("no release was begun for this request")
            held = self._key(key.request_id)
            if held is not None:
                return held, self._tokens(key.request_id)[0]
            if self._token(token.confirmation_digest) is not None:
                raise JournalConflict("the confirmation is another request's")
            first = note_key(self._file, key.request_id, key.uniqueness)
            if first is None:
                row = key.row(self._kcvs.seal(key.request_id, key.kcv))
                self._file.insert(KEYS, row)
                return HeldKey.of_row(row), self._insert_token(token, 0)
        # Outside the transaction: the refusal stays, whatever fails after it.
        raise DuplicateKey(first)

    def save_rewrap(self, token: NewToken) -> IssuedToken:
        """Write one more token of a released key, or return the confirmation's if it has one.

        Raises:
            RewrapsExhausted: if three were written already.
            NonceReused: if another confirmation of the request had this EPP nonce.
            JournalConflict: if the request has no key, its receipt is in, or the confirmation
                is another request's.
        """
        with self._file.transaction():
            winner = self._token(token.confirmation_digest)
            if winner is not None:
                if winner.request_id != token.request_id:
                    raise JournalConflict("the confirmation is another request's")
                return winner
            held = self._key(token.request_id)
            if held is None or held.state is not KeyState.RELEASED:
                raise JournalConflict("only a released key is wrapped again")
            before = self._tokens(token.request_id)
            if any(other.krd_nonce == token.krd_nonce for other in before):
                raise NonceReused("the EPP's nonce answered another confirmation")
            if len(before) > MOST_REWRAPS:
                raise RewrapsExhausted("the key was wrapped again three times")
            return self._insert_token(token, len(before))

    def settle(
        self, request_id: str, receipt_digest: str | None, state: KeyState, now: int
    ) -> Settlement:
        """Write what a receipt (or, with None, its absence) made of a key; repeatable.

        ACTIVE retires the terminal's previous active key in the same transaction. A key that
        is UNCONFIRMED may become ACTIVE by a later receipt; one that is active or retired
        stays so, and the same receipt again gets the same answer. Both answers name all the
        terminal's retired keys, so that a caller that died before it could pass them on
        finds them again.

        Raises:
            ValueError: if `state` is neither ACTIVE nor UNCONFIRMED.
            JournalConflict: if the request has no key, or another receipt settled it.
            KeySuperseded: if the terminal has a newer active key.
        """
        with self._file.transaction():
            return settle(self._file, request_id, receipt_digest, state, now)

    def begin_order(self, intent: OrderIntent) -> CarriedOrder:
        """Write the intent of officers' order, or why it may not be; or return the first writing.

        The caller has verified it. An order that was refused once is refused for ever.

        Raises:
            JournalConflict: if an order of this digest is about another key or act.
        """
        with self._file.transaction():
            return begin_order(self._file, intent)

    def order_of(self, digest: str) -> CarriedOrder | None:
        """Return an order that was begun."""
        with self._file.transaction(write=False):
            row = self._file.get(KEY_ORDERS, digest=digest)
        return None if row is None else CarriedOrder.of_row(row)

    def finish_order(self, digest: str, now: int) -> CarriedOrder:
        """Carry out an order that was begun; repeatable.

        Of a destroyed key the host's copy, the KCV and the tokens' values are overwritten in the
        file; its row, its release record and all digests stay.

        Raises:
            JournalConflict: if it was not begun, or its key's row is gone.
        """
        with self._file.transaction():
            carried = finish_order(self._file, digest, now)
        if carried.state is KeyState.DESTROYED:
            self._file.scrub()
        return carried

    def retired_beside(self, request_id: str) -> tuple[HeldKey, ...]:
        """Return the retired keys of a request's terminal, oldest first."""
        with self._file.transaction(write=False):
            return retired_beside(self._file, request_id)

    def wrong_codes(self, request_id: str) -> int:
        """Tell how many wrong codes the key worker was shown for a request."""
        with self._file.transaction(write=False):
            row = self._file.get(WRONG_CODES, request_id=request_id)
        return 0 if row is None else int(row["used"])

    def count_wrong_code(self, request_id: str) -> int:
        """Count one more wrong code of a request, and return how many that makes."""
        with self._file.transaction():
            row = self._file.get(WRONG_CODES, request_id=request_id)
            if row is None:
                self._file.insert(WRONG_CODES, {"request_id": request_id, "used": 1})
                return 1
            used = int(row["used"]) + 1
            self._file.update(WRONG_CODES, {"request_id": request_id, "used": used})
            return used

    def begin_try(self, one: CodeTry, *, most: int) -> None:
        """Count a try of an approval code before the code is compared; repeatable.

        Raises:
            TriesExhausted: if `most` tries of the request count as wrong.
            CodeChanged: if this confirmation was tried with another code.
        """
        with self._file.transaction():
            begin_try(self._file, one, most)

    def right_code(self, confirmation_digest: str) -> None:
        """Count a try that was begun no longer: its code was right.

        Raises:
            JournalConflict: if it was not begun.
        """
        with self._file.transaction():
            right_code(self._file, confirmation_digest)

    def wrong_tries(self, request_id: str) -> int:
        """Tell how many tries of a request's approval code count as wrong."""
        with self._file.transaction(write=False):
            return wrong_tries(self._file, request_id)

    def _release(self, request_id: str) -> ReleaseIntent | None:
        row = self._file.get(RELEASES, request_id=request_id)
        return None if row is None else ReleaseIntent.of_row(row)

    def _key(self, request_id: str) -> HeldKey | None:
        row = self._file.get(KEYS, request_id=request_id)
        return None if row is None else HeldKey.of_row(row)

    def _token(self, confirmation_digest: str) -> IssuedToken | None:
        row = self._file.get(TOKENS, confirmation_digest=confirmation_digest)
        return None if row is None else IssuedToken.of_row(row)

    def _tokens(self, request_id: str) -> tuple[IssuedToken, ...]:
        rows = self._file.find(
            TOKENS, "request_id = :request_id ORDER BY ordinal", request_id=request_id
        )
        return tuple(IssuedToken.of_row(row) for row in rows)

    def _insert_token(self, new: NewToken, ordinal: int) -> IssuedToken:
        issued = new.issued_as(ordinal)
        self._file.insert(TOKENS, row_of(issued, TOKENS))
        return issued
