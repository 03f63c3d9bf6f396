"""Release: the one way by which a terminal master key comes to be and goes out.

The key worker believes nobody. It loads statements and entries by digest, proves the whole
authorisation with `ceremony.release_rule`, writes its intent, makes the key, and writes the
outcome; only then does anybody see a token. Asked again, it gives the same bytes.

Nobody else judges the approval code, and nobody else's count of its tries matters.
"""

import logging
import time
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from ceremony.checks import is_unexplained
from ceremony.keylife import LOST
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
from keymanagement.entries import recall_assignment, rely_on_standing
from keymanagement.journal import Journal
from keymanagement.journalerrors import DuplicateKey
from keymanagement.journalrows import (
    CodeTry,
    HeldKey,
    IssuedToken,
    KeyState,
    NewKey,
    NewToken,
    ReleaseIntent,
)
from keymanagement.policy import KeyPolicy, KeyRule
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
from keymanagement.tokenformat import REACH

TOKEN_SECONDS: Final = 86_400
"""A key token lives as long as AWAITING_RECEIPT does; the EPP's nonce limits it further."""
WRONG_CODES: Final = 5
"""Wrong SMS codes that the key worker looks at for one request; it counts by itself."""


_REASON: Final = MappingProxyType(
    {
        KeyState.COMPROMISED: Reason.KEY_COMPROMISED,
        KeyState.DESTROYED: Reason.KEY_DESTROYED,
    }
)

_log = logging.getLogger("keyfill.release")


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
        policy: KeyPolicy,
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
        except DuplicateKey as error:
            # Chance does not do that: a generator repeats itself, or somebody feeds it.
            _log.critical(
                "the key of %(request_id)s was made before, for %(first_request_id)s",
                {"request_id": command.request_id, "first_request_id": error.first},
            )
            self._archive.publish_duplicate(
                command.request_id, command.terminal_no, error.first, self._now()
            )
            return ReleaseOutcome(refused=error.reason)
        except KeyManagementError as error:
            if error.reason is None:
                raise
            return ReleaseOutcome(refused=error.reason)
        self._archive.publish_token(command.terminal_no, held, issued)
        # An order may have come since the journal was read, and been published before the token.
        now_held = self._journal.key_of(command.request_id)
        if now_held is not None and now_held.state in LOST:
            self._archive.publish_settlement(now_held, None, (), self._now())
            return ReleaseOutcome(refused=_REASON[now_held.state])
        return ReleaseOutcome(token_digest=issued.token_digest)

    def _answer(self, command: ReleaseCommand) -> tuple[HeldKey, IssuedToken]:
        self._require_no_duplicate(command)
        held = self._journal.key_of(command.request_id)
        issued = self._journal.token_for(command.confirmation)
        if held is not None and held.state in LOST:
            raise ReleaseRefused(_REASON[held.state])
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
        rule = self._policy.rule_for(grant.standing.terminal.entry.model)
        algorithm = held.algorithm if held else rule.algorithm
        token_format = self._choose_format(grant, rule, algorithm)
        require_transport(algorithm, grant.standing.terminal.epp.public_key)
        self._require_explained(grant, released=held is not None)
        heed_revocations(self._trust, self._journal, self._archive, grant.standing.terminal)
        recall_assignment(self._journal, self._archive, command.terminal_no)
        rely_on_standing(self._journal, grant.standing, self._trust, now=self._now())
        if held is None:
            held, issued = self._make(grant, rule, token_format)
            if issued.confirmation_digest == command.confirmation:
                return held, issued
        return held, self._wrap_again(grant, rule, held, token_format)

    def _require_no_duplicate(self, command: ReleaseCommand) -> None:
        first = self._journal.duplicate_of(command.request_id)
        if first is None:
            return
        release = self._journal.release_of(command.request_id)
        if release is None or release.terminal_no != command.terminal_no:
            raise ReleaseRefused(Reason.WRONG_TERMINAL)
        raise DuplicateKey(first)

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

    def _require_explained(self, grant: Grant, *, released: bool) -> None:
        request = grant.request.payload
        active = self._journal.has_active_key(request.terminal_no)
        if not released and is_unexplained(request, active=active):
            raise ReleaseRefused(Reason.RELOAD_REASON_MISSING)

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

    def _choose_format(self, grant: Grant, rule: KeyRule, algorithm: KeyAlgorithm) -> str:
        allowed = set(rule.formats_for(algorithm)).intersection(
            self._manager.formats_for(algorithm)
        )
        epp_key = grant.standing.terminal.epp.public_key
        for wanted in grant.request.payload.formats:
            if wanted in allowed and REACH[wanted].takes(epp_key):
                return wanted
        raise ReleaseRefused(Reason.FORMAT_UNSUPPORTED)

    def _make(self, grant: Grant, rule: KeyRule, token_format: str) -> tuple[HeldKey, IssuedToken]:
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
        algorithm = rule.algorithm
        created = self._manager.create(algorithm, binding, rule.key_usage)
        token = self._manager.make_token(
            created.block, algorithm, binding, _terms(grant, rule, now), token_format
        )
        kcv_digest = self._journal.kcv_digest(grant.request_id, created.kcv)
        key = NewKey(
            request_id=grant.request_id,
            algorithm=algorithm,
            host_block=created.block,
            kcv=created.kcv,
            uniqueness=created.uniqueness,
            record=self._records.sign(grant, token, kcv_digest, now),
            created_at=now,
        )
        return self._journal.save_key_and_first_token(key, _new_token(grant, token, now))

    def _wrap_again(
        self, grant: Grant, rule: KeyRule, held: HeldKey, token_format: str
    ) -> IssuedToken:
        now = self._now()
        release = self._journal.release_of(grant.request_id)
        if release is None or release.epp_fingerprint != grant.standing.terminal.epp.fingerprint:
            raise ReleaseRefused(Reason.WRONG_EPP)
        binding = KeyBinding(release.terminal_no, grant.request_id)
        token = self._manager.make_token(
            held.host_block, held.algorithm, binding, _terms(grant, rule, now), token_format
        )
        return self._journal.save_rewrap(_new_token(grant, token, now))

    def _now(self) -> int:
        return int(self._clock())


def _terms(grant: Grant, rule: KeyRule, now: int) -> TokenTerms:
    terminal = grant.standing.terminal
    return TokenTerms(
        request_id=grant.request_id,
        terminal_no=terminal.entry.terminal_no,
        epp_certificate_der=terminal.epp.der,
        epp_fingerprint=terminal.epp.fingerprint,
        krd_nonce=grant.confirmation.payload.krd_nonce,
        issued_at=now,
        expires_at=now + TOKEN_SECONDS,
        key_usage=rule.key_usage,
        form=rule.form,
    )


def _new_token(grant: Grant, token: KeyToken, now: int) -> NewToken:
    return NewToken(
        confirmation_digest=grant.confirmation.digest,
        request_id=grant.request_id,
        krd_nonce=grant.confirmation.payload.krd_nonce,
        token=token,
        issued_at=now,
    )
