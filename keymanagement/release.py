"""Release: the one way by which a terminal master key comes to be and goes out.

The key worker believes nobody. It loads statements and entries by digest, proves the whole
authorisation with `ceremony.release_rule`, writes its intent, makes the key, and writes the
outcome; only then does anybody see a token. Asked again, it gives the same bytes.

Nobody else judges the approval code, and nobody else's count of its tries matters.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ceremony.messages import ReleaseCommand, ReleaseOutcome
from ceremony.reasons import Reason
from ceremony.release_rule import (
    Authorisation,
    Grant,
    ReleaseRefused,
    ReleaseSecrets,
    Statements,
    confirmed,
    may_release,
    may_rewrap,
)
from ceremony.state import CONFIRMATION_TRIES
from ceremony.trust import Trust
from keymanagement.archive import Archive
from keymanagement.case import statements_for
from keymanagement.entries import rely_on_standing
from keymanagement.journal import Journal
from keymanagement.journalrows import (
    CodeTry,
    HeldKey,
    IssuedToken,
    KeyState,
    NewKey,
    NewToken,
    ReleaseIntent,
)
from keymanagement.port import (
    KeyAlgorithm,
    KeyBinding,
    KeyManagementError,
    KeyManager,
    KeyToken,
    TokenTerms,
)
from keymanagement.registrymemory import heed_revocations
from keymanagement.releaserecord import RecordSigner
from keymanagement.strength import require_transport

TOKEN_SECONDS: Final = 86_400
"""A key token lives as long as AWAITING_RECEIPT does; the EPP's nonce limits it further."""
WRONG_CODES: Final = 5
"""Wrong SMS codes that the key worker looks at for one request; it counts by itself."""


@dataclass(frozen=True)
class ReleasePolicy:
    """What keys this deployment makes."""

    algorithm: KeyAlgorithm = KeyAlgorithm.AES_128


class KeyRelease:
    """Releases and re-wraps keys; safe for threads and several key workers on one journal."""

    def __init__(
        self,
        *,
        trust: Trust,
        secrets: ReleaseSecrets,
        journal: Journal,
        manager: KeyManager,
        archive: Archive,
        records: RecordSigner,
        policy: ReleasePolicy,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Bind what a release needs; `clock` gives Unix seconds."""
        self._trust = trust
        self._secrets = secrets
        self._journal = journal
        self._manager = manager
        self._archive = archive
        self._records = records
        self._policy = policy
        self._clock = clock

    def release(self, command: ReleaseCommand) -> ReleaseOutcome:
        """Answer a confirmation with a key token, or say why not.

        Raises:
            KeyManagementError: if the journal or the key manager fails; the call may be repeated.
        """
        try:
            held, issued = self._answer(command)
        except ReleaseRefused as refusal:
            return ReleaseOutcome(refused=refusal.reason)
        except KeyManagementError as error:
            if error.reason is None:
                raise
            return ReleaseOutcome(refused=error.reason)
        self._archive.publish_token(command.terminal_no, held, issued)
        return ReleaseOutcome(token_digest=issued.token_digest)

    def _answer(self, command: ReleaseCommand) -> tuple[HeldKey, IssuedToken]:
        held = self._journal.key_of(command.request_id)
        issued = self._journal.token_for(command.confirmation)
        if held is not None and issued is not None:
            self._require_same(command, issued)
            return held, issued
        if held is not None and held.state is not KeyState.RELEASED:
            # Its receipt is in, or was given up: the EPP has nothing more to ask for.
            raise ReleaseRefused(Reason.WRONG_STAGE)
        if self._archive.has_ended(command.request_id):
            # What takes away needs no signature: a cancelled request gets no key, whoever asks.
            raise ReleaseRefused(Reason.WRONG_STAGE)
        grant = self._prove(command, released=held is not None)
        algorithm = held.algorithm if held else self._policy.algorithm
        token_format = self._choose_format(grant, algorithm)
        require_transport(algorithm, grant.standing.terminal.epp.public_key.key_size)
        heed_revocations(self._trust, self._journal, self._archive, grant.standing.terminal)
        rely_on_standing(self._journal, grant.standing)
        if held is None:
            held, issued = self._make(grant, token_format)
            if issued.confirmation_digest == command.confirmation:
                return held, issued
        return held, self._wrap_again(grant, held, token_format)

    def _require_same(self, command: ReleaseCommand, issued: IssuedToken) -> None:
        release = self._journal.release_of(command.request_id)
        if issued.request_id != command.request_id or release is None:
            raise ReleaseRefused(Reason.WRONG_REQUEST)
        if release.terminal_no != command.terminal_no:
            raise ReleaseRefused(Reason.WRONG_TERMINAL)

    def _prove(self, command: ReleaseCommand, *, released: bool) -> Grant:
        entries = self._archive.entries(command.terminal_no)
        if entries is None:
            raise ReleaseRefused(Reason.REGISTRY_CHANGED)
        statements = statements_for(command, self._archive)
        self._require_attempts(command)
        rule = may_rewrap if released else may_release
        try:
            proved = rule(statements, entries, self._trust, self._secrets, now=self._now())
        except ReleaseRefused as refusal:
            if refusal.reason is not Reason.SMS_CODE_WRONG:
                raise
            if self._journal.count_wrong_code(command.request_id) > WRONG_CODES:
                raise ReleaseRefused(Reason.ATTEMPTS_EXHAUSTED) from None
            raise
        # Again, or of many guesses at once more than five would count.
        self._require_attempts(command)
        if proved.standing.terminal.entry.terminal_no != command.terminal_no:
            raise ReleaseRefused(Reason.WRONG_TERMINAL)
        return self._confirm(proved, statements)

    def _require_attempts(self, command: ReleaseCommand) -> None:
        if self._journal.wrong_codes(command.request_id) >= WRONG_CODES:
            raise ReleaseRefused(Reason.ATTEMPTS_EXHAUSTED)

    def _confirm(self, proved: Authorisation, statements: Statements) -> Grant:
        typed, digest = statements.approval_code, proved.confirmation.digest
        # Written down first: neither a race nor a crash makes one more try of it.
        one = CodeTry(digest, proved.request_id, f"{typed.n}.{typed.mac}")
        self._journal.begin_try(one, most=CONFIRMATION_TRIES)
        grant = confirmed(proved, typed, self._secrets)
        self._journal.right_code(digest)
        return grant

    def _choose_format(self, grant: Grant, algorithm: KeyAlgorithm) -> str:
        for wanted in grant.request.payload.formats:
            if wanted in self._manager.formats_for(algorithm):
                return wanted
        raise ReleaseRefused(Reason.FORMAT_UNSUPPORTED)

    def _make(self, grant: Grant, token_format: str) -> tuple[HeldKey, IssuedToken]:
        now = self._now()
        terminal = grant.standing.terminal
        binding = KeyBinding(terminal.entry.terminal_no, grant.request_id)
        self._journal.begin_release(
            ReleaseIntent(
                request_id=grant.request_id,
                terminal_no=terminal.entry.terminal_no,
                epp_fingerprint=terminal.epp.fingerprint,
                confirmation_digest=grant.confirmation.digest,
                intent_at=now,
            )
        )
        algorithm = self._policy.algorithm
        created = self._manager.create(algorithm, binding)
        token = self._manager.make_token(
            created.block, algorithm, binding, _terms(grant, now), token_format
        )
        kcv_digest = self._journal.kcv_digest(grant.request_id, created.kcv)
        key = NewKey(
            request_id=grant.request_id,
            algorithm=algorithm,
            host_block=created.block,
            kcv=created.kcv,
            record=self._records.sign(grant, token, kcv_digest, now),
            created_at=now,
        )
        return self._journal.save_key_and_first_token(key, _new_token(grant, token, now))

    def _wrap_again(self, grant: Grant, held: HeldKey, token_format: str) -> IssuedToken:
        now = self._now()
        release = self._journal.release_of(grant.request_id)
        if release is None or release.epp_fingerprint != grant.standing.terminal.epp.fingerprint:
            raise ReleaseRefused(Reason.WRONG_EPP)
        binding = KeyBinding(release.terminal_no, grant.request_id)
        token = self._manager.make_token(
            held.host_block, held.algorithm, binding, _terms(grant, now), token_format
        )
        return self._journal.save_rewrap(_new_token(grant, token, now))

    def _now(self) -> int:
        return int(self._clock())


def _terms(grant: Grant, now: int) -> TokenTerms:
    terminal = grant.standing.terminal
    return TokenTerms(
        request_id=grant.request_id,
        terminal_no=terminal.entry.terminal_no,
        epp_certificate_der=terminal.epp.der,
        epp_fingerprint=terminal.epp.fingerprint,
        krd_nonce=grant.confirmation.payload.krd_nonce,
        issued_at=now,
        expires_at=now + TOKEN_SECONDS,
    )


def _new_token(grant: Grant, token: KeyToken, now: int) -> NewToken:
    return NewToken(
        confirmation_digest=grant.confirmation.digest,
        request_id=grant.request_id,
        krd_nonce=grant.confirmation.payload.krd_nonce,
        token=token,
        issued_at=now,
    )
