"""Each check gives exactly the one reason for the one fact that is broken, and only then."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from ceremony.checks import (
    APPLICATION_SECONDS,
    APPROVAL_SECONDS,
    CLOCK_SKEW_SECONDS,
    SMS_CODE_SECONDS,
    Reasons,
    cancellation_check,
    decision_check,
    first_check,
    opening_check,
    receipt_check,
    second_check,
)
from ceremony.qr import QrContents
from ceremony.reasons import Reason
from ceremony.stages import Stage
from ceremony.statements import Kind
from tests.support.drive import Drive, drive_to
from tests.support.world import SAMPLE_DIGEST, World

STAGE_OF = {
    Kind.REQUEST: Stage.AWAITING_APPLICATION,
    Kind.APPLICATION: Stage.AWAITING_APPLICATION,
    Kind.DECISION: Stage.AWAITING_REVIEW,
    Kind.CONFIRMATION: Stage.AWAITING_CONFIRMATION,
    Kind.RECEIPT: Stage.AWAITING_RECEIPT,
    Kind.CANCELLATION: Stage.AWAITING_REVIEW,
}
NOW = World.make().now


def _qr(drive: Drive, **changes: Any) -> QrContents:
    shown = drive.world.shown_qr(drive.request)
    parts = {name: getattr(shown, name) for name in ("request_id", "terminal_no", "n")}
    return QrContents(**{**parts, "expires_at": shown.expires_at, **changes})


def _changed_standing(drive: Drive) -> Any:
    world = drive.world
    renamed = world.credential_entry(world.second, name="Renamed", seq=2)
    world.credential_envelopes[world.second.person] = renamed
    return world.standing()


@dataclass(frozen=True)
class Broken:
    """One broken fact: of the statement, of what was found, or of the state."""

    kind: Kind
    reason: Reason
    said: dict[str, Any] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    computed: Callable[[Drive], dict[str, Any]] | None = None
    signer: str | None = None
    and_also: frozenset[Reason] = frozenset()


R, A, D = Kind.REQUEST, Kind.APPLICATION, Kind.DECISION
C, T, X = Kind.CONFIRMATION, Kind.RECEIPT, Kind.CANCELLATION
TABLE = [
    Broken(R, Reason.REGISTRY_INCOMPLETE, found={"standing": None}),
    Broken(R, Reason.WRONG_SIGNATORY, signer="other"),
    Broken(R, Reason.WRONG_SIGNATORY, signer="first"),
    Broken(R, Reason.WRONG_TERMINAL, said={"terminal_no": "ATM-0002"}),
    Broken(R, Reason.WRONG_EPP, said={"epp_fingerprint": SAMPLE_DIGEST}),
    Broken(R, Reason.FORMAT_UNSUPPORTED, said={"formats": ("tr34",)}),
    Broken(R, Reason.FORMAT_UNSUPPORTED, found={"formats": frozenset()}),
    Broken(R, Reason.RELOAD_REASON_MISSING, said={"reload_reason": None}, found={"active": True}),
    Broken(R, Reason.RELOAD_REASON_MISSING, said={"reload_reason": ""}, found={"active": True}),
    Broken(R, Reason.RELOAD_REASON_MISSING, said={"reload_reason": None, "current_kcv": "000000"}),
    Broken(R, Reason.RELOAD_REASON_MISSING, said={"reload_reason": " ", "current_kcv": "a1b2c3"}),
    Broken(A, Reason.NOT_FIRST_ADMINISTRATOR, signer="second"),
    Broken(A, Reason.NOT_FIRST_ADMINISTRATOR, signer="third"),
    Broken(A, Reason.NOT_FIRST_ADMINISTRATOR, said={"administrator": "A1002"}),
    Broken(A, Reason.DAILY_ATTEMPTS_EXHAUSTED, found={"daily_attempts": 10}),
    Broken(A, Reason.ATTEMPTS_EXHAUSTED, found={"attempts": 5}),
    Broken(A, Reason.QR_REFUSED, computed=lambda d: {"qr": _qr(d, request_id="A" * 24)}),
    Broken(A, Reason.QR_EXPIRED, computed=lambda d: {"qr": _qr(d, expires_at=NOW)}),
    Broken(
        A,
        Reason.QR_REFUSED,
        found={"qr": None},
        and_also=frozenset({Reason.TERMINAL_NUMBER_WRONG}),
    ),
    Broken(
        A,
        Reason.TERMINAL_NUMBER_WRONG,
        computed=lambda d: {"qr": _qr(d, terminal_no="ATM-0002")},
    ),
    Broken(
        A,
        Reason.TERMINAL_NUMBER_WRONG,
        said={"terminal_no": "ATM-0003"},
        and_also=frozenset({Reason.WRONG_TERMINAL}),
    ),
    Broken(A, Reason.SMS_CODE_WRONG, found={"code_right": False}),
    Broken(A, Reason.SMS_CODE_NOT_SENT, found={"code_n": 0}),
    Broken(A, Reason.SMS_CODE_NOT_SENT, found={"code_n": 2}),
    Broken(A, Reason.SMS_CODE_NOT_SENT, state={"codes_sent_at": ()}),
    Broken(A, Reason.SMS_CODE_NOT_SENT, state={"codes_sent_at": (NOW, NOW)}),
    Broken(A, Reason.SMS_CODE_EXPIRED, state={"codes_sent_at": (NOW - SMS_CODE_SECONDS - 1,)}),
    Broken(A, Reason.WRONG_EPP, said={"epp_fingerprint": SAMPLE_DIGEST}),
    Broken(A, Reason.REGISTRY_CHANGED, said={"registry_digest": SAMPLE_DIGEST}),
    Broken(A, Reason.REGISTRY_CHANGED, computed=lambda d: {"standing": _changed_standing(d)}),
    Broken(A, Reason.STATEMENT_EXPIRED, said={"expires_at": NOW}),
    Broken(A, Reason.EXPIRY_TOO_LATE, said={"expires_at": NOW + APPLICATION_SECONDS + 1}),
    Broken(
        A,
        Reason.EXPIRY_TOO_LATE,
        said={
            "iat": NOW + 9_999,
            "expires_at": NOW + CLOCK_SKEW_SECONDS + APPLICATION_SECONDS + 1,
        },
    ),
    Broken(D, Reason.NOT_SECOND_ADMINISTRATOR, signer="first"),
    Broken(D, Reason.NOT_SECOND_ADMINISTRATOR, signer="third"),
    Broken(D, Reason.NOT_SECOND_ADMINISTRATOR, said={"administrator": "A1001"}),
    Broken(D, Reason.WRONG_APPLICATION, said={"application_digest": SAMPLE_DIGEST}),
    Broken(D, Reason.WRONG_APPLICATION, state={"application_digest": None}),
    Broken(D, Reason.WRONG_TERMINAL, said={"terminal_no": "ATM-0002"}),
    Broken(D, Reason.WRONG_EPP, said={"epp_fingerprint": SAMPLE_DIGEST}),
    Broken(D, Reason.REGISTRY_CHANGED, said={"registry_digest": SAMPLE_DIGEST}),
    Broken(D, Reason.REGISTRY_CHANGED, computed=lambda d: {"standing": _changed_standing(d)}),
    Broken(D, Reason.STATEMENT_EXPIRED, said={"expires_at": NOW}),
    Broken(D, Reason.STATEMENT_EXPIRED, state={"application_expires_at": NOW}),
    Broken(D, Reason.STATEMENT_EXPIRED, state={"application_expires_at": None}),
    Broken(D, Reason.EXPIRY_TOO_LATE, said={"expires_at": NOW + APPROVAL_SECONDS + 1}),
    Broken(C, Reason.WRONG_SIGNATORY, signer="other"),
    Broken(C, Reason.WRONG_SIGNATORY, signer="first"),
    Broken(C, Reason.WRONG_TERMINAL, said={"terminal_no": "ATM-0002"}),
    Broken(C, Reason.QR_REFUSED, said={"qr_digest": SAMPLE_DIGEST}),
    Broken(C, Reason.WRONG_EPP, said={"epp_fingerprint": SAMPLE_DIGEST}),
    Broken(C, Reason.REGISTRY_CHANGED, computed=lambda d: {"standing": _changed_standing(d)}),
    Broken(C, Reason.REGISTRY_CHANGED, found={"standing": None}),
    Broken(C, Reason.NOT_APPROVED, state={"decision_digest": None}),
    Broken(C, Reason.NOT_APPROVED, state={"approval_expires_at": None}),
    Broken(C, Reason.APPROVAL_EXPIRED, state={"approval_expires_at": NOW}),
    Broken(C, Reason.STATEMENT_EXPIRED, state={"application_expires_at": NOW}),
    Broken(C, Reason.REWRAPS_EXHAUSTED, state={"token_digest": "a" * 64, "rewraps_left": 0}),
    Broken(C, Reason.CONFIRMATION_TRIES_EXHAUSTED, state={"tries_left": 0}),
    Broken(C, Reason.CONFIRMATION_TRIES_EXHAUSTED, found={"tries": 3}),
    Broken(C, Reason.ADMINISTRATOR_WRONG, said={"administrator": "A1002"}),
    Broken(T, Reason.WRONG_SIGNATORY, signer="other"),
    Broken(T, Reason.WRONG_SIGNATORY, signer="second"),
    Broken(T, Reason.WRONG_SIGNATORY, found={"terminal": None}),
    Broken(T, Reason.WRONG_TERMINAL, said={"terminal_no": "ATM-0002"}),
    Broken(T, Reason.WRONG_EPP, said={"epp_fingerprint": "a5" * 32}),
    Broken(T, Reason.TOKEN_UNKNOWN, said={"token_digest": "a5" * 32}),
    Broken(T, Reason.MALFORMED, said={"kcv": None}),
    Broken(T, Reason.MALFORMED, said={"outcome": "refused", "kcv": "a1b2c3"}),
    Broken(X, Reason.WRONG_SIGNATORY, signer="other"),
    Broken(X, Reason.WRONG_SIGNATORY, signer="third"),
    Broken(X, Reason.WRONG_TERMINAL, said={"terminal_no": "ATM-0002"}),
]


def _statement(drive: Drive, broken: Broken) -> Any:
    world, said = drive.world, dict(broken.said)
    if broken.signer is not None:
        one = getattr(world, broken.signer)
        said["signer"] = one.device if broken.signer == "other" else one.signer
    elif broken.kind in {C, T, X}:
        said["signer"] = world.terminal.device
    if broken.kind is R:
        return world.request(**said)
    if broken.kind is A:
        return world.application(drive.request, **said)
    if broken.kind is X:
        return world.cancellation(drive.request, **said)
    assert drive.application is not None
    if broken.kind is D:
        return world.decision(drive.application, **said)
    if broken.kind is C:
        return world.confirmation(drive.application, **said)
    assert drive.confirmation is not None
    return world.receipt(drive.confirmation, **said)


def _judge(broken: Broken) -> Reasons:
    drive = drive_to(STAGE_OF[broken.kind])
    if broken.kind is A:
        drive.code_sent()
    statement = _statement(drive, broken)
    found = {**broken.found, **(broken.computed(drive) if broken.computed else {})}
    facts = drive.facts(**found)
    state = drive.state.model_copy(update=broken.state)
    match broken.kind:
        case Kind.REQUEST:
            return opening_check(statement, facts)
        case Kind.APPLICATION:
            return first_check(state, statement, facts)
        case Kind.DECISION:
            return decision_check(state, statement, facts)
        case Kind.CONFIRMATION:
            return second_check(state, statement, facts)
        case Kind.RECEIPT:
            return receipt_check(state, statement, facts)
    return cancellation_check(state, statement, facts)


@pytest.mark.parametrize("broken", TABLE, ids=lambda b: f"{b.kind}-{b.reason}")
def test_one_broken_fact_gives_its_reason(broken: Broken) -> None:
    """The reason is there, and no other but those that follow from the very same fact."""
    reasons = _judge(broken)
    assert set(reasons) == {broken.reason} | broken.and_also
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize(
    ("active", "current_kcv"), [(True, None), (False, "a1b2c3"), (True, "0" * 6)]
)
def test_a_reload_with_a_reason_is_accepted(active: bool, current_kcv: str | None) -> None:
    """Also where the EPP's key is not the one on record: after a lost receipt it is not."""
    said = {"reload_reason": "suspected exposure", "current_kcv": current_kcv}
    assert _judge(Broken(R, Reason.MALFORMED, said=said, found={"active": active})) == ()


def test_a_first_key_needs_no_reason() -> None:
    """Neither the records nor the EPP know of a key."""
    assert _judge(Broken(R, Reason.MALFORMED, said={"reload_reason": None})) == ()


@pytest.mark.parametrize("kind", [R, A, D, C, T, X])
def test_nothing_broken_is_accepted(kind: Kind) -> None:
    """With every fact as it should be, no reason speaks against the statement."""
    assert _judge(Broken(kind, Reason.MALFORMED)) == ()


def test_all_of_the_first_check_is_always_evaluated() -> None:
    """Number, administrator and code all wrong: all three reasons, so none is told by silence."""
    broken = Broken(
        A,
        Reason.MALFORMED,
        signer="third",
        said={"terminal_no": "ATM-0002"},
        found={"code_right": False},
    )
    assert {
        Reason.TERMINAL_NUMBER_WRONG,
        Reason.NOT_FIRST_ADMINISTRATOR,
        Reason.SMS_CODE_WRONG,
    } <= set(_judge(broken))


@pytest.mark.parametrize("found", [{"daily_attempts": 10}, {"attempts": 5}])
def test_past_a_limit_no_code_is_judged(found: dict[str, Any]) -> None:
    """Right or wrong, the code gives the same answer: one more guess tells nothing."""
    answers = [
        _judge(Broken(A, Reason.MALFORMED, found={**found, "code_right": right}))
        for right in (True, False)
    ]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("tries", [0, 3])
@pytest.mark.parametrize("administrator", ["A1001", "A1002"])
def test_no_check_judges_an_approval_code(tries: int, administrator: str) -> None:
    """Whatever else is right or wrong, the second check is no way to try approval codes."""
    said = {"administrator": administrator}
    answers = [
        _judge(Broken(C, Reason.MALFORMED, said=said, found={"tries": tries, "code_right": right}))
        for right in (True, False)
    ]
    assert answers[0] == answers[1]
    assert Reason.APPROVAL_CODE_WRONG not in answers[0]


@pytest.mark.parametrize(("left", "tries"), [(0, 0), (3, 3)])
def test_past_the_tries_no_administrator_is_judged(left: int, tries: int) -> None:
    """After the third mistyped confirmation a right number and a wrong one get the same answer."""
    for administrator in ("A1001", "A1002"):
        broken = Broken(
            C,
            Reason.MALFORMED,
            said={"administrator": administrator},
            state={"tries_left": left},
            found={"tries": tries},
        )
        assert _judge(broken) == (Reason.CONFIRMATION_TRIES_EXHAUSTED,)


def test_a_rejection_needs_no_more_than_its_signatory_and_subject() -> None:
    """What takes away is not stopped by what changed or expired meanwhile."""
    late = {"decision": "reject", "registry_digest": SAMPLE_DIGEST, "expires_at": NOW}
    assert _judge(Broken(D, Reason.MALFORMED, said=late)) == ()
    assert _judge(Broken(D, Reason.MALFORMED, said=late, signer="first")) == (
        Reason.NOT_SECOND_ADMINISTRATOR,
    )


@pytest.mark.parametrize("signer", ["first", "second"])
def test_either_administrator_may_cancel(signer: str) -> None:
    """As may the terminal itself."""
    assert _judge(Broken(X, Reason.MALFORMED, signer=signer)) == ()


def test_a_released_key_is_wrapped_again_after_the_approval_expired() -> None:
    """Once there is a key, the approval's hour no longer matters; the rest does."""
    released = {"token_digest": "a" * 64, "approval_expires_at": NOW - 1}
    assert _judge(Broken(C, Reason.MALFORMED, state=released)) == ()
