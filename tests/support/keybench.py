"""A key worker on a bench: real journal, real software key manager, an archive with a memory.

    bench = KeyBench.make(tmp_path)
    case = bench.authorised()
    outcome = bench.release(bench.command(case))

Its clock is the world's. `restart` gives a second key worker on the same journal file, as after a
crash or in another process.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from ceremony.encoding import from_b64url
from ceremony.messages import ReleaseCommand, ReleaseOutcome, SettleCommand, Settlement
from ceremony.qr import QrContents
from ceremony.reasons import Reason
from ceremony.statements import (
    ApplicationPayload,
    ConfirmationPayload,
    DecisionPayload,
    RequestPayload,
    request_id_of,
)
from ceremony.verification import Verified
from keymanagement.archive import Archive
from keymanagement.execution import OrderExecution
from keymanagement.journal import Journal
from keymanagement.policy import KeyPolicy
from keymanagement.port import KeyManager
from keymanagement.release import KeyRelease
from keymanagement.releaserecord import RecordSigner
from keymanagement.settlement import KeySettlement
from tests.support.certificates import Epp
from tests.support.identities import signing_key
from tests.support.keyfakes import KEK, CountingManager, MemoryArchive, Wire
from tests.support.keytokens import OAEP_SHA256
from tests.support.world import World

RECORD_KEY: Final = "record key of the benches"


@dataclass(frozen=True)
class Case:
    """The statements of one loading request, and what was typed with them."""

    request: Verified[RequestPayload]
    application: Verified[ApplicationPayload]
    decision: Verified[DecisionPayload]
    confirmation: Verified[ConfirmationPayload]

    @property
    def request_id(self) -> str:
        """The loading request's id."""
        return request_id_of(self.request.digest)


@dataclass
class KeyBench:
    """A key worker and what stands around it; use `make`."""

    folder: Path
    world: World
    archive: MemoryArchive
    journal: Journal
    manager: CountingManager
    policy: KeyPolicy = field(default_factory=KeyPolicy.for_all)
    clock: Callable[[], float] | None = None

    @classmethod
    def make(
        cls, folder: Path, world: World | None = None, *, archive: MemoryArchive | None = None
    ) -> Self:
        """Make an empty journal in `folder`, and put the world's registry in force."""
        folder.mkdir(exist_ok=True)
        bench = cls(
            folder=folder,
            world=world or World.make(),
            archive=archive or MemoryArchive(),
            journal=Journal(folder / "journal.db", KEK, create=True),
            manager=CountingManager(),
        )
        bench.register()
        return bench

    def restart(self) -> "KeyBench":
        """A key worker of the same trust and archive on the same journal file."""
        journal = Journal(self.folder / "journal.db", KEK)
        return replace(self, journal=journal, manager=CountingManager())

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()

    def register(self) -> None:
        """Put the world's registry in force."""
        for one in (self.world.terminal, self.world.other):
            self.archive.registry[one.terminal_no] = self.world.entries(one)

    def authorised(
        self,
        *,
        request: dict[str, Any] | None = None,
        application: dict[str, Any] | None = None,
        decision: dict[str, Any] | None = None,
        confirmation: dict[str, Any] | None = None,
        sms_code: str | None = None,
        approval_code: str | None = None,
        qr: QrContents | None = None,
    ) -> Case:
        """Sign and file a whole authorisation; each dict bends its statement."""
        world = self.world
        asked = world.request(**(request or {}))
        applied = world.application(asked, **(application or {}))
        case = Case(
            request=asked,
            application=applied,
            decision=world.decision(applied, **(decision or {})),
            confirmation=world.confirmation(applied, **(confirmation or {})),
        )
        typed = world.typed(applied, sms_code or world.sms_code(asked))
        self.archive.file(asked)
        self.archive.file(applied, code=typed, qr=qr or world.shown_qr(asked))
        self.archive.file(case.decision)
        self.file_confirmation(case, approval_code)
        return case

    def file_confirmation(self, case: Case, approval_code: str | None = None) -> None:
        """File a case's confirmation with the right approval code, or with another."""
        code = approval_code or self.world.approval_code(case.request)
        self.archive.file(case.confirmation, code=self.world.typed(case.confirmation, code))

    def confirmed_anew(self, case: Case, approval_code: str | None = None, **bent: Any) -> Case:
        """The same authorisation with a further confirmation, by default with a new nonce."""
        again = replace(case, confirmation=self.world.confirmation(case.application, **bent))
        self.file_confirmation(again, approval_code)
        return again

    def command(self, case: Case, **bent: Any) -> ReleaseCommand:
        """The command that a workflow sends for a case, or a forger."""
        members = {
            "request_id": case.request_id,
            "terminal_no": case.request.payload.terminal_no,
            "request": case.request.digest,
            "application": case.application.digest,
            "decision": case.decision.digest,
            "confirmation": case.confirmation.digest,
            **bent,
        }
        return ReleaseCommand(**members)

    def key_release(self, wire: Wire | None = None) -> KeyRelease:
        """The release, with its collaborators behind a wire if one is given."""
        archive: Archive = self.archive
        journal, manager = self.journal, self.manager
        return KeyRelease(
            trust=self.world.trust,
            secrets=self.world.release_secrets,
            journal=wire.around(journal) if wire else journal,
            manager=wire.around(manager) if wire else _as_port(manager),
            archive=wire.around(archive) if wire else archive,
            records=RecordSigner(signing_key(RECORD_KEY, "EdDSA"), self.world.trust.audience),
            policy=self.policy,
            clock=self.clock or (lambda: self.world.now),
        )

    def key_settlement(self, wire: Wire | None = None) -> KeySettlement:
        """The settlement, likewise."""
        archive: Archive = self.archive
        return KeySettlement(
            trust=self.world.trust,
            journal=wire.around(self.journal) if wire else self.journal,
            archive=wire.around(archive) if wire else archive,
            clock=self.clock or (lambda: self.world.now),
        )

    def order_execution(self, wire: Wire | None = None) -> OrderExecution:
        """The carrying out of officers' orders, likewise."""
        archive: Archive = self.archive
        manager = self.manager
        return OrderExecution(
            trust=self.world.trust,
            journal=wire.around(self.journal) if wire else self.journal,
            manager=wire.around(manager) if wire else _as_port(manager),
            archive=wire.around(archive) if wire else archive,
            clock=self.clock or (lambda: self.world.now),
        )

    def release(self, command: ReleaseCommand) -> ReleaseOutcome:
        """Ask for a release."""
        return self.key_release().release(command)

    def released(self, **bent: Any) -> Case:
        """An authorisation whose key was released."""
        case = self.authorised(**bent)
        assert self.release(self.command(case)).refused is None
        return case

    def settle(self, request_id: str, receipt: str | None) -> Settlement:
        """Ask for a settlement."""
        return self.key_settlement().settle(
            SettleCommand(
                request_id=request_id,
                terminal_no=self.world.terminal.terminal_no,
                receipt=receipt,
            )
        )

    def receipt(self, case: Case, **bent: Any) -> str:
        """File the terminal's receipt, right unless bent, and give its digest."""
        token = self.journal.token_for(case.confirmation.digest)
        assert token is not None
        said = {
            "token_digest": token.token_digest,
            "kcv": self.journal.kcv_of(case.request_id),
            **bent,
        }
        receipt = self.world.receipt(case.confirmation, **said)
        self.archive.file(receipt)
        return receipt.digest

    def clear_key(self, token_digest: str, epp: Epp | None = None) -> bytes:
        """The clear key in a published token, opened as the terminal's EPP would."""
        token = next(one for one in self.archive.tokens if one.token_digest == token_digest)
        return opened(token.value, epp or self.world.terminal.epp)


def opened(token: bytes, epp: Epp) -> bytes:
    """The clear key in a token's bytes, by the EPP's private key."""
    payload = json.loads(from_b64url(token.decode().split(".")[1]))
    return epp.private_key.decrypt(from_b64url(payload["encrypted_key"]), OAEP_SHA256)


def _as_port(manager: CountingManager) -> KeyManager:
    return manager


def require_nothing(bench: KeyBench, request_id: str) -> None:
    """Nothing came of it: no key was even made, and the journal and the archive know of none."""
    assert bench.journal.release_of(request_id) is None
    assert bench.journal.key_of(request_id) is None
    assert bench.journal.tokens_of(request_id) == ()
    assert bench.manager.made == 0
    assert bench.archive.tokens == []


def require_refused(bench: KeyBench, command: ReleaseCommand, reason: Reason) -> None:
    """The command is refused for this reason, and nothing came of it."""
    outcome = bench.release(command)
    assert (outcome.refused, outcome.token_digest) == (reason, None)
    require_nothing(bench, command.request_id)
