"""The release rule proves a whole authorisation by itself: one broken input, and no key.

Nothing here builds a state or asks the reducer: the rule takes signed texts, the trust file, the
key worker's secrets and its clock.
"""

import ast
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ceremony import release_rule
from ceremony.codes import CodeBook, EdgeSeal, TypedCode
from ceremony.qr import QrSeal
from ceremony.reasons import Reason
from ceremony.release_rule import (
    CHECKS,
    Entries,
    Grant,
    ReleaseRefused,
    ReleaseSecrets,
    Statements,
    may_release,
    may_rewrap,
)
from ceremony.statements import request_id_of
from ceremony.trust import Trust
from ceremony.verification import Verified
from tests.support.deployment import EDGE_KEY, QR_KEY, SMS_SECRET
from tests.support.forging import malleated
from tests.support.identities import AUDIENCE, jwk_signer, trust_text
from tests.support.world import SAMPLE_DIGEST, World

OTHER_KEY = bytes(64)


class Case:
    """A complete, good case; each test breaks one thing of it."""

    def __init__(self, **said: dict[str, Any]) -> None:
        """Sign all four statements; `said` overrides fields of one of them, by its kind."""
        self.world = World.make()
        self.request = self.world.request(**said.get("request", {}))
        good = self.world.application(self.request)
        self.application = self.world.application(self.request, **said.get("application", {}))
        about = {"application_digest": self.application.digest}
        self.decision = self.world.decision(good, **{**about, **said.get("decision", {})})
        self.confirmation = self.world.confirmation(good, **said.get("confirmation", {}))
        self.statements = self.world.release_case(
            self.request, self.application, self.decision, self.confirmation
        )
        self.entries = self.world.entries()
        self.trust = self.world.trust
        self.secrets = self.world.release_secrets
        self.now = self.world.now

    def ask(self) -> Grant:
        """Ask the rule."""
        return may_release(self.statements, self.entries, self.trust, self.secrets, now=self.now)

    def give(self, **statements: Any) -> None:
        """Replace what the key worker is asked with."""
        self.statements = replace(self.statements, **statements)

    def enrol(self, **entries: str) -> None:
        """Replace an envelope in force."""
        self.entries = replace(self.entries, **entries)


def _refused(case: Case) -> Reason:
    with pytest.raises(ReleaseRefused) as refusal:
        case.ask()
    assert str(refusal.value) == refusal.value.reason.value
    return refusal.value.reason


def test_the_good_case_grants() -> None:
    """Four good statements, good entries, right codes: the grant names them all."""
    case = Case()
    grant = case.ask()
    assert grant.request_id == request_id_of(case.request.digest)
    assert (
        grant.request.digest,
        grant.application.digest,
        grant.decision.digest,
        grant.confirmation.digest,
    ) == (
        case.request.digest,
        case.application.digest,
        case.decision.digest,
        case.confirmation.digest,
    )
    assert grant.standing.registry_digest == case.application.payload.registry_digest
    assert grant.checks == CHECKS


def test_it_does_not_depend_on_the_reducer() -> None:
    """Neither reducer, state, stages nor checks decide here: only constants are shared."""
    tree = ast.parse(inspect.getsource(release_rule))
    imported = {
        (node.module, name.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    }
    deciding = {"ceremony.reducer", "ceremony.state", "ceremony.stages", "ceremony.messages"}
    assert not deciding & {module for module, _ in imported}
    from_checks = {name for module, name in imported if module == "ceremony.checks"}
    assert all(name.isupper() for name in from_checks)


@dataclass(frozen=True)
class Broken:
    """One field of one statement, said otherwise, and why no key is made."""

    kind: str
    fields: dict[str, Any]
    reason: Reason


def _names() -> list[Broken]:
    other_request = {"request_id": "A" * 24}
    other_terminal = {"terminal_no": "ATM-0002"}
    other_epp = {"epp_fingerprint": SAMPLE_DIGEST}
    about = ("application", "decision", "confirmation")
    return [
        *(Broken(kind, other_request, Reason.WRONG_REQUEST) for kind in about),
        *(Broken(kind, other_terminal, Reason.WRONG_TERMINAL) for kind in about),
        *(Broken(kind, other_epp, Reason.WRONG_EPP) for kind in ("request", *about)),
        *(
            Broken(kind, {"registry_digest": SAMPLE_DIGEST}, Reason.REGISTRY_CHANGED)
            for kind in ("application", "decision")
        ),
        *(
            Broken(kind, {"aud": "keyfill-elsewhere"}, Reason.WRONG_AUDIENCE)
            for kind in ("request", *about)
        ),
        Broken("application", {"administrator": "A1003"}, Reason.NOT_FIRST_ADMINISTRATOR),
        Broken("application", {"administrator": "A1002"}, Reason.NOT_FIRST_ADMINISTRATOR),
        Broken("decision", {"administrator": "A1001"}, Reason.NOT_SECOND_ADMINISTRATOR),
        Broken("decision", {"administrator": "A1003"}, Reason.NOT_SECOND_ADMINISTRATOR),
        Broken("confirmation", {"administrator": "A1002"}, Reason.ADMINISTRATOR_WRONG),
        Broken("application", {"qr_digest": SAMPLE_DIGEST}, Reason.QR_REFUSED),
        Broken("confirmation", {"qr_digest": SAMPLE_DIGEST}, Reason.QR_REFUSED),
        Broken("decision", {"application_digest": SAMPLE_DIGEST}, Reason.WRONG_APPLICATION),
        Broken("decision", {"decision": "reject"}, Reason.NOT_APPROVED),
    ]


@pytest.mark.parametrize("broken", _names(), ids=lambda b: f"{b.kind}-{next(iter(b.fields))}")
def test_one_field_said_otherwise_is_refused(broken: Broken) -> None:
    """Every field that binds a statement to this terminal, EPP, person and case is compared."""
    assert _refused(Case(**{broken.kind: broken.fields})) is broken.reason


START = World.make().now


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        ("application", {"expires_at": START}, Reason.STATEMENT_EXPIRED),
        ("application", {"expires_at": START + 86_401}, Reason.EXPIRY_TOO_LATE),
        ("decision", {"expires_at": START}, Reason.APPROVAL_EXPIRED),
        ("decision", {"expires_at": START + 3_601}, Reason.EXPIRY_TOO_LATE),
        ("decision", {"iat": START + 301, "expires_at": START + 3_600}, Reason.STALE),
        ("application", {"iat": START + 301}, Reason.STALE),
        ("application", {"iat": START - 301}, Reason.QR_EXPIRED),
    ],
    ids=repr,
)
def test_times_are_judged_by_the_key_workers_clock(
    kind: str, fields: dict[str, Any], reason: Reason
) -> None:
    """Expired, valid for too long, from the future, or not of the QR code's time: refused."""
    assert _refused(Case(**{kind: fields})) is reason


def test_a_statement_swapped_for_another_is_refused() -> None:
    """Each text stands for its own kind: any of the four in another's place is refused."""
    texts = Case().statements
    names = ("request", "application", "decision", "confirmation")
    for name in names:
        for other in names:
            if other == name:
                continue
            case = Case()
            case.statements = replace(texts, **{name: getattr(texts, other)})
            assert _refused(case) is Reason.WRONG_TYPE


@pytest.mark.parametrize("name", ["request", "application", "decision", "confirmation"])
def test_a_statement_of_another_case_is_refused(name: str) -> None:
    """A genuine statement of an earlier case of the same terminal fits no other case."""
    case = Case()
    case.world.pass_time(5)
    request = case.world.request()
    application = case.world.application(request)
    earlier: dict[str, Verified[Any]] = {
        "request": request,
        "application": application,
        "decision": case.world.decision(application),
        "confirmation": case.world.confirmation(application),
    }
    case.give(**{name: earlier[name].text})
    assert _refused(case) is Reason.WRONG_REQUEST


@pytest.mark.parametrize("name", ["request", "application", "decision", "confirmation"])
@pytest.mark.parametrize("text", ["", "a.b.c", "{}", "{"])
def test_a_missing_or_malformed_statement_is_refused(name: str, text: str) -> None:
    """No statement, no key."""
    case = Case()
    case.give(**{name: text})
    assert _refused(case) is Reason.MALFORMED


@pytest.mark.parametrize("name", ["request", "application", "confirmation"])
def test_a_broken_signature_is_refused(name: str) -> None:
    """A statement whose signature does not hold proves nothing."""
    case = Case()
    head, payload, _ = getattr(case.statements, name).split(".")
    case.give(**{name: f"{head}.{payload}.{'A' * 86}"})
    assert _refused(case) is Reason.BAD_SIGNATURE


def test_a_bent_passkey_assertion_is_refused() -> None:
    """The second administrator's passkey must have verified its user."""
    case = Case()
    document = json.loads(case.statements.decision)
    document["authenticator_data"] = document["authenticator_data"][:-4] + "AAAA"
    case.give(decision=json.dumps(document))
    assert _refused(case) is Reason.PASSKEY_REFUSED


def test_a_malleated_signature_changes_nothing() -> None:
    """The same statement under its other signature is the same statement."""
    case = Case()
    case.give(request=malleated(case.statements.request))
    assert case.ask().request.digest == case.request.digest


@pytest.mark.parametrize(
    ("kind", "signer"),
    [
        ("request", "other"),
        ("request", "first"),
        ("application", "second"),
        ("application", "third"),
        ("application", "terminal"),
        ("decision", "first"),
        ("decision", "third"),
        ("decision", "terminal"),
        ("confirmation", "other"),
        ("confirmation", "first"),
    ],
)
def test_another_signer_is_refused(kind: str, signer: str) -> None:
    """Only the terminal's device key and its two administrators count, each for their part."""
    world = World.make()
    signers = {
        "other": world.other.device,
        "terminal": world.terminal.device,
        "first": world.first.signer,
        "second": world.second.signer,
        "third": world.third.signer,
    }
    assert _refused(Case(**{kind: {"signer": signers[signer]}})) is Reason.UNKNOWN_KEY


def _spoil_terminal(**fields: Any) -> Callable[[Case], None]:
    def spoil(case: Case) -> None:
        case.enrol(terminal=case.world.terminal_entry(**fields))

    return spoil


def _spoil_person(role: str, **fields: Any) -> Callable[[Case], None]:
    def spoil(case: Case) -> None:
        person = getattr(case.world, role)
        case.enrol(**{role: case.world.credential_entry(person, **fields)})

    return spoil


def _swap(case: Case) -> None:
    case.entries = Entries(case.entries.terminal, case.entries.second, case.entries.first)


def _third(case: Case) -> None:
    case.enrol(second=case.world.credential_envelopes[case.world.third.person])


def _other_terminal(case: Case) -> None:
    case.enrol(terminal=case.world.terminal_envelopes[case.world.other.terminal_no])


def _same_person(case: Case) -> None:
    case.enrol(terminal=case.world.terminal_entry(second="person-1"), second=case.entries.first)


def _forged_terminal(case: Case) -> None:
    case.enrol(terminal=case.world.terminal_entry(signers=[case.world.officers[0]]))


def _foreign_officers(case: Case) -> None:
    world = case.world
    own = world.officers
    world.officers = tuple(jwk_signer(f"no officer {n}").key for n in range(3))
    case.enrol(first=world.credential_entry(world.first))
    world.officers = own


def _raised_seq(case: Case) -> None:
    case.trust = Trust.read(trust_text(case.world.feed, case.world.officers, lowest_seq=2))


def _same_key(case: Case) -> None:
    world = case.world
    double = replace(world.second, signer=world.first.signer)
    case.enrol(second=world.credential_entry(double))


def _device_key(case: Case) -> None:
    world = case.world
    double = replace(world.second, signer=world.terminal.device)
    case.enrol(second=world.credential_entry(double))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_spoil_terminal(valid_until=START), Reason.ENTRY_EXPIRED),
        (_spoil_person("first", valid_until=START), Reason.ENTRY_EXPIRED),
        (_spoil_person("second", valid_until=START), Reason.ENTRY_EXPIRED),
        (_raised_seq, Reason.SEQ_LOWERED),
        (_spoil_person("first", officers=1), Reason.OFFICERS_MISSING),
        (_spoil_person("second", officers=1), Reason.OFFICERS_MISSING),
        (_spoil_person("second", officers=0), Reason.OFFICERS_MISSING),
        (_foreign_officers, Reason.OFFICERS_MISSING),
        (_spoil_person("first", own=False), Reason.WRONG_SIGNER),
        (_forged_terminal, Reason.WRONG_SIGNER),
        (_swap, Reason.REGISTRY_INCOMPLETE),
        (_third, Reason.REGISTRY_INCOMPLETE),
        (_same_person, Reason.SAME_PERSON),
        (_spoil_person("second", staff_no="A1001"), Reason.SAME_PERSON),
        (_spoil_person("second", number=World.make().first.number), Reason.SAME_NUMBER),
        (_same_key, Reason.SAME_CREDENTIAL),
        (_device_key, Reason.SAME_CREDENTIAL),
        (_spoil_person("first", roles=("auditor",)), Reason.NOT_ADMINISTRATOR),
        (_spoil_person("second", roles=()), Reason.NOT_ADMINISTRATOR),
        (_other_terminal, Reason.UNKNOWN_KEY),
        (_spoil_terminal(branch="Moved"), Reason.REGISTRY_CHANGED),
        (_spoil_person("first", name="Renamed"), Reason.REGISTRY_CHANGED),
        (_spoil_person("second", seq=2), Reason.REGISTRY_CHANGED),
        (lambda case: case.enrol(terminal=""), Reason.MALFORMED),
        (lambda case: case.enrol(first='{"statements":[]}'), Reason.UNSIGNED),
    ],
)
def test_one_entry_spoilt_is_refused(spoil: Callable[[Case], None], reason: Reason) -> None:
    """Expired, superseded, under-signed, swapped, changed or too close entries: refused."""
    case = Case()
    spoil(case)
    assert _refused(case) is reason


def _typed(case: Case, purpose: str, n: int, code: str, digest: str | None = None) -> TypedCode:
    request_id = request_id_of(case.request.digest)
    if purpose == "sms":
        about = digest or case.application.digest
        return case.world.edge.seal("sms", request_id, n, about, code)
    return case.world.edge.seal("approval", request_id, n, digest or case.confirmation.digest, code)


def _sms(n: int, *, right: bool = True, code_n: int | None = None) -> Callable[[Case], None]:
    def spoil(case: Case) -> None:
        code = case.world.sms_code(case.request, code_n or n) if right else "000000"
        case.give(sms_code=_typed(case, "sms", n, code))

    return spoil


def _sms_of_another_statement(case: Case) -> None:
    code = case.world.sms_code(case.request)
    case.give(sms_code=_typed(case, "sms", 1, code, case.decision.digest))


def _renumbered(case: Case) -> None:
    case.give(sms_code=replace(case.statements.sms_code, n=2))


def _out_of_range(case: Case) -> None:
    case.give(sms_code=_typed(case, "sms", 4, "123456"))


def _approval(code: str | None, digest: str | None = None) -> Callable[[Case], None]:
    def spoil(case: Case) -> None:
        right = case.world.approval_code(case.request)
        case.give(approval_code=_typed(case, "approval", 0, code or right, digest))

    return spoil


def _sms_for_approval(case: Case) -> None:
    case.give(approval_code=case.statements.sms_code)


def _secrets(**changes: Any) -> Callable[[Case], None]:
    def spoil(case: Case) -> None:
        case.secrets = replace(case.secrets, **changes)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_sms(1, right=False), Reason.SMS_CODE_WRONG),
        (_sms(2, code_n=1), Reason.SMS_CODE_WRONG),
        (_out_of_range, Reason.SMS_CODE_WRONG),
        (_renumbered, Reason.SMS_CODE_WRONG),
        (_sms_of_another_statement, Reason.SMS_CODE_WRONG),
        (_approval("0000x"), Reason.APPROVAL_CODE_WRONG),
        (_approval(None, SAMPLE_DIGEST), Reason.APPROVAL_CODE_WRONG),
        (_sms_for_approval, Reason.APPROVAL_CODE_WRONG),
        (lambda case: case.give(qr_n=1), Reason.QR_REFUSED),
        (lambda case: case.give(qr_n=-1), Reason.QR_REFUSED),
        (lambda case: case.give(qr_expires_at=START), Reason.QR_REFUSED),
        (lambda case: case.give(qr_expires_at=2**70), Reason.QR_REFUSED),
        (_secrets(codes=CodeBook(bytes(32))), Reason.SMS_CODE_WRONG),
        (_secrets(edge=EdgeSeal(bytes(32))), Reason.SMS_CODE_WRONG),
        (_secrets(qr=QrSeal(OTHER_KEY, AUDIENCE)), Reason.QR_REFUSED),
        (_secrets(qr=QrSeal(QR_KEY, "elsewhere")), Reason.QR_REFUSED),
    ],
)
def test_codes_and_qr_codes_are_proved_again(spoil: Callable[[Case], None], reason: Reason) -> None:
    """Codes are recomputed under the key worker's own secrets; a MAC fits one statement only."""
    case = Case()
    spoil(case)
    assert _refused(case) is reason


def test_a_later_sms_code_is_as_good() -> None:
    """A code sent again (2, 3) authorises like the first."""
    for n in (2, 3):
        case = Case()
        _sms(n)(case)
        assert case.ask().application.digest == case.application.digest


def test_a_key_that_was_released_may_be_wrapped_again_after_the_approval() -> None:
    """Re-wrapping proves all but the approvals' expiry; a first release proves that too."""
    case = Case()
    case.now += 3_600
    assert _refused(case) is Reason.APPROVAL_EXPIRED
    grant = may_rewrap(case.statements, case.entries, case.trust, case.secrets, now=case.now)
    assert grant.decision.digest == case.decision.digest
    case.give(decision=Case(decision={"decision": "reject"}).statements.decision)
    with pytest.raises(ReleaseRefused):
        may_rewrap(case.statements, case.entries, case.trust, case.secrets, now=case.now)


def test_the_last_second_counts() -> None:
    """An approval holds until, not including, its `expires_at`."""
    case = Case()
    case.now += 3_599
    assert case.ask().checks == CHECKS
    case.now += 1
    assert _refused(case) is Reason.APPROVAL_EXPIRED


def test_every_field_of_the_case_was_broken_once() -> None:
    """A new input of the rule needs a test that breaks it."""
    assert set(Statements.__dataclass_fields__) == {
        "request",
        "application",
        "decision",
        "confirmation",
        "qr_n",
        "qr_expires_at",
        "sms_code",
        "approval_code",
    }
    assert set(Entries.__dataclass_fields__) == {"terminal", "first", "second"}
    assert set(ReleaseSecrets.__dataclass_fields__) == {"codes", "edge", "qr"}
    assert len({SMS_SECRET, EDGE_KEY, QR_KEY}) == 3
