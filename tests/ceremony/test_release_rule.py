"""The release rule proves a whole authorisation by itself: one broken statement, and no key.

Nothing here builds a state or asks the reducer: the rule takes signed texts, the trust file, the
key worker's secrets and its clock. Its other inputs are broken in test_release_inputs.py.
"""

import ast
import inspect
import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ceremony import release_rule
from ceremony.reasons import Reason
from ceremony.release_rule import (
    CHECKS,
    ReleaseRefused,
    confirmed,
    may_rewrap,
)
from ceremony.statements import request_id_of
from ceremony.verification import Verified
from tests.support.forging import malleated
from tests.support.releasecase import ReleaseCase, refused
from tests.support.world import SAMPLE_DIGEST, World


def test_the_good_case_grants() -> None:
    """Four good statements, good entries, right codes: the grant names them all."""
    case = ReleaseCase()
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
def test_one_field_said_otherwise_isrefused(broken: Broken) -> None:
    """Every field that binds a statement to this terminal, EPP, person and case is compared."""
    assert refused(ReleaseCase(**{broken.kind: broken.fields})) is broken.reason


def test_a_request_about_another_terminal_is_refused() -> None:
    """All else about this terminal, and its own device asked for another one: no key."""
    case = ReleaseCase()
    asked = case.world.request(terminal_no=case.world.other.terminal_no)
    request_id = request_id_of(asked.digest)
    application = case.world.application(case.request, request_id=request_id)
    decision = case.world.decision(application)
    confirmation = case.world.confirmation(application)
    case.give(
        request=asked.text,
        application=application.text,
        decision=decision.text,
        confirmation=confirmation.text,
    )
    assert refused(case) is Reason.WRONG_TERMINAL


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
)
def test_times_are_judged_by_the_key_workers_clock(
    kind: str, fields: dict[str, Any], reason: Reason
) -> None:
    """Expired, valid for too long, from the future, or not of the QR code's time: refused."""
    assert refused(ReleaseCase(**{kind: fields})) is reason


def test_a_statement_swapped_for_another_isrefused() -> None:
    """Each text stands for its own kind: any of the four in another's place is refused."""
    texts = ReleaseCase().statements
    names = ("request", "application", "decision", "confirmation")
    for name in names:
        for other in names:
            if other == name:
                continue
            case = ReleaseCase()
            case.statements = replace(texts, **{name: getattr(texts, other)})
            assert refused(case) is Reason.WRONG_TYPE


@pytest.mark.parametrize("name", ["request", "application", "decision", "confirmation"])
def test_a_statement_of_another_case_isrefused(name: str) -> None:
    """A genuine statement of an earlier case of the same terminal fits no other case."""
    case = ReleaseCase()
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
    assert refused(case) is Reason.WRONG_REQUEST


@pytest.mark.parametrize("name", ["request", "application", "decision", "confirmation"])
@pytest.mark.parametrize("text", ["", "a.b.c", "{}", "{"])
def test_a_missing_or_malformed_statement_isrefused(name: str, text: str) -> None:
    """No statement, no key."""
    case = ReleaseCase()
    case.give(**{name: text})
    assert refused(case) is Reason.MALFORMED


@pytest.mark.parametrize("name", ["request", "application", "confirmation"])
def test_a_broken_signature_isrefused(name: str) -> None:
    """A statement whose signature does not hold proves nothing."""
    case = ReleaseCase()
    head, payload, _ = getattr(case.statements, name).split(".")
    case.give(**{name: f"{head}.{payload}.{'A' * 86}"})
    assert refused(case) is Reason.BAD_SIGNATURE


def test_a_bent_passkey_assertion_isrefused() -> None:
    """The second administrator's passkey must have verified its user."""
    case = ReleaseCase()
    document = json.loads(case.statements.decision)
    document["authenticator_data"] = document["authenticator_data"][:-4] + "AAAA"
    case.give(decision=json.dumps(document))
    assert refused(case) is Reason.PASSKEY_REFUSED


def test_a_malleated_signature_changes_nothing() -> None:
    """The same statement under its other signature is the same statement."""
    case = ReleaseCase()
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
def test_another_signer_isrefused(kind: str, signer: str) -> None:
    """Only the terminal's device key and its two administrators count, each for their part."""
    world = World.make()
    signers = {
        "other": world.other.device,
        "terminal": world.terminal.device,
        "first": world.first.signer,
        "second": world.second.signer,
        "third": world.third.signer,
    }
    assert refused(ReleaseCase(**{kind: {"signer": signers[signer]}})) is Reason.UNKNOWN_KEY


def test_a_key_that_was_released_may_be_wrapped_again_after_the_approval() -> None:
    """Re-wrapping proves all but the approvals' expiry; a first release proves that too."""
    case = ReleaseCase()
    case.now += 3_600
    assert refused(case) is Reason.APPROVAL_EXPIRED
    proved = may_rewrap(case.statements, case.entries, case.trust, case.secrets, now=case.now)
    assert proved.decision.digest == case.decision.digest
    grant = confirmed(proved, case.statements.approval_code, case.secrets)
    assert (grant.decision, grant.checks) == (proved.decision, CHECKS)
    case.give(decision=ReleaseCase(decision={"decision": "reject"}).statements.decision)
    with pytest.raises(ReleaseRefused):
        may_rewrap(case.statements, case.entries, case.trust, case.secrets, now=case.now)


def test_the_last_second_counts() -> None:
    """An approval holds until, not including, its `expires_at`."""
    case = ReleaseCase()
    case.now += 3_599
    assert case.ask().checks == CHECKS
    case.now += 1
    assert refused(case) is Reason.APPROVAL_EXPIRED
