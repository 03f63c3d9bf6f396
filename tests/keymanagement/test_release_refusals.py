"""What the key worker refuses: a reason code comes back, and no key, intent or token is left."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ceremony.reasons import Reason
from keymanagement.changerows import AT_ONCE
from keymanagement.journalrows import Reliance
from keymanagement.policy import KeyPolicy, KeyRule
from keymanagement.port import KeyAlgorithm
from tests.support.identities import AUDIENCE
from tests.support.keybench import KeyBench, require_nothing, require_refused

WRONG_SMS = "000000"
WRONG_APPROVAL = "0000"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker."""
    bench = KeyBench.make(tmp_path)
    yield bench
    bench.close()


OTHER_DIGEST = "77" * 32
BENT: dict[str, tuple[Reason, Callable[[KeyBench], dict[str, Any]]]] = {
    "request by another device": (
        Reason.UNKNOWN_KEY,
        lambda b: {"request": {"signer": b.world.other.device}},
    ),
    "application by a stranger": (
        Reason.UNKNOWN_KEY,
        lambda b: {"application": {"signer": b.world.third.signer}},
    ),
    "application by the second": (
        Reason.UNKNOWN_KEY,
        lambda b: {"application": {"signer": b.world.second.signer}},
    ),
    "decision by the first": (
        Reason.UNKNOWN_KEY,
        lambda b: {"decision": {"signer": b.world.first.signer}},
    ),
    "confirmation by another device": (
        Reason.UNKNOWN_KEY,
        lambda b: {"confirmation": {"signer": b.world.other.device}},
    ),
    "another deployment": (Reason.WRONG_AUDIENCE, lambda b: {"decision": {"aud": AUDIENCE + "2"}}),
    "another EPP asked": (
        Reason.WRONG_EPP,
        lambda b: {"request": {"epp_fingerprint": OTHER_DIGEST}},
    ),
    "another EPP applied for": (
        Reason.WRONG_EPP,
        lambda b: {"application": {"epp_fingerprint": OTHER_DIGEST}},
    ),
    "another EPP approved": (
        Reason.WRONG_EPP,
        lambda b: {"decision": {"epp_fingerprint": OTHER_DIGEST}},
    ),
    "another EPP confirmed": (
        Reason.WRONG_EPP,
        lambda b: {"confirmation": {"epp_fingerprint": OTHER_DIGEST}},
    ),
    "another terminal applied for": (
        Reason.WRONG_TERMINAL,
        lambda b: {
            "application": {"terminal_no": "ATM-0002"},
            "decision": {"terminal_no": "ATM-0001"},
            "confirmation": {"terminal_no": "ATM-0001", "signer": b.world.terminal.device},
        },
    ),
    "another request approved": (
        Reason.WRONG_REQUEST,
        lambda b: {"decision": {"request_id": "A" * 24}},
    ),
    "another request confirmed": (
        Reason.WRONG_REQUEST,
        lambda b: {"confirmation": {"request_id": "A" * 24}},
    ),
    "another registry applied for": (
        Reason.REGISTRY_CHANGED,
        lambda b: {"application": {"registry_digest": OTHER_DIGEST}},
    ),
    "another registry approved": (
        Reason.REGISTRY_CHANGED,
        lambda b: {"decision": {"registry_digest": OTHER_DIGEST}},
    ),
    "application in another's name": (
        Reason.NOT_FIRST_ADMINISTRATOR,
        lambda b: {"application": {"administrator": b.world.third.staff_no}},
    ),
    "decision in another's name": (
        Reason.NOT_SECOND_ADMINISTRATOR,
        lambda b: {"decision": {"administrator": b.world.third.staff_no}},
    ),
    "another number typed": (
        Reason.ADMINISTRATOR_WRONG,
        lambda b: {"confirmation": {"administrator": b.world.second.staff_no}},
    ),
    "rejected": (Reason.NOT_APPROVED, lambda b: {"decision": {"decision": "reject"}}),
    "another application approved": (
        Reason.WRONG_APPLICATION,
        lambda b: {"decision": {"application_digest": OTHER_DIGEST}},
    ),
    "approved tomorrow": (
        Reason.STALE,
        lambda b: {"decision": {"iat": b.world.now + 301, "expires_at": b.world.now + 3000}},
    ),
    "application for too long": (
        Reason.EXPIRY_TOO_LATE,
        lambda b: {"application": {"expires_at": b.world.now + 86_401}},
    ),
    "approval for too long": (
        Reason.EXPIRY_TOO_LATE,
        lambda b: {"decision": {"expires_at": b.world.now + 3_601}},
    ),
    "application expired": (
        Reason.STATEMENT_EXPIRED,
        lambda b: {"application": {"expires_at": b.world.now}},
    ),
    "approval expired": (
        Reason.APPROVAL_EXPIRED,
        lambda b: {"decision": {"expires_at": b.world.now}},
    ),
    "another QR code applied for": (
        Reason.QR_REFUSED,
        lambda b: {"application": {"qr_digest": OTHER_DIGEST}},
    ),
    "another QR code confirmed": (
        Reason.QR_REFUSED,
        lambda b: {"confirmation": {"qr_digest": OTHER_DIGEST}},
    ),
    "QR code scanned too late": (
        Reason.QR_EXPIRED,
        lambda b: {
            "request": {"iat": b.world.now},
            "application": {"iat": b.world.now + 421, "expires_at": b.world.now + 3_000},
            "wait": 421,
        },
    ),
    "wrong SMS code": (Reason.SMS_CODE_WRONG, lambda b: {"sms_code": WRONG_SMS}),
    "wrong approval code": (
        Reason.APPROVAL_CODE_WRONG,
        lambda b: {"approval_code": WRONG_APPROVAL},
    ),
    "unknown format only": (
        Reason.FORMAT_UNSUPPORTED,
        lambda b: {"request": {"formats": ("tr-34",)}},
    ),
}


@pytest.mark.parametrize("name", BENT)
def test_a_bent_authorisation_leaves_nothing(bench: KeyBench, name: str) -> None:
    """Every refusal of the release rule arrives as its reason and leaves no intent and no key."""
    reason, bend = BENT[name]
    bent = bend(bench)
    waited = bent.pop("wait", 0)
    case = bench.authorised(**bent)
    bench.world.pass_time(waited)
    require_refused(bench, bench.command(case), reason)


def test_the_first_known_format_is_made(bench: KeyBench) -> None:
    """A terminal that prefers a format that is not made gets the next one that is."""
    bench.released(request={"formats": ("tr-34", "oaep-jws")})
    assert [one.format for one in bench.archive.tokens] == ["oaep-jws"]


def test_a_format_that_the_policy_does_not_allow_is_passed_over(bench: KeyBench) -> None:
    """The key manager makes `tr34`, the model's rule allows `oaep-jws` only: that one it gets."""
    bench.policy = KeyPolicy(KeyRule(formats=("oaep-jws",)), {})
    case = bench.authorised(request={"formats": ("tr34",)})
    require_refused(bench, bench.command(case), Reason.FORMAT_UNSUPPORTED)
    bench.released(request={"formats": ("tr34", "oaep-jws")})
    assert [one.format for one in bench.archive.tokens] == ["oaep-jws"]


@pytest.mark.parametrize("missing", ["request", "application", "decision", "confirmation"])
def test_a_missing_statement_is_refused(bench: KeyBench, missing: str) -> None:
    """A digest under which nothing is filed authorises nothing."""
    case = bench.authorised()
    del bench.archive.statements[getattr(case, missing).digest]
    require_refused(bench, bench.command(case), Reason.STATEMENT_MISSING)


@pytest.mark.parametrize("member", ["request", "application", "decision", "confirmation"])
@pytest.mark.parametrize("text", ["", "a.b.c", "{}", "\ud800", "[" * 100_000, "x" * 1_000_000])
def test_garbage_is_refused(bench: KeyBench, member: str, text: str) -> None:
    """Whatever the records hold under a digest, the answer is a reason, not a fault."""
    case = bench.authorised()
    digest = getattr(case, member).digest
    garbage = replace(bench.archive.statements[digest], text=text)
    bench.archive.statements[digest] = garbage
    outcome = bench.release(bench.command(case))
    assert outcome.refused in {Reason.MALFORMED, Reason.TOO_LARGE, Reason.HEADER_REFUSED}
    require_nothing(bench, case.request_id)


@pytest.mark.parametrize("member", ["request", "application", "decision", "confirmation"])
def test_a_genuine_statement_under_anothers_digest_is_refused(bench: KeyBench, member: str) -> None:
    """Who edits the records cannot file one genuine statement as another."""
    case, further = bench.authorised(), bench.authorised()
    mine, theirs = getattr(case, member).digest, getattr(further, member).digest
    bench.archive.statements[mine] = bench.archive.statements[theirs]
    require_refused(bench, bench.command(case), Reason.STATEMENT_MISSING)


@pytest.mark.parametrize("member", ["request", "application", "decision", "confirmation"])
def test_statements_of_two_requests_do_not_add_up(bench: KeyBench, member: str) -> None:
    """One statement of another genuine request of the same terminal spoils the authorisation."""
    case, further = bench.authorised(), bench.authorised()
    mixed = bench.command(case, **{member: getattr(further, member).digest})
    require_refused(bench, mixed, Reason.WRONG_REQUEST)


@pytest.mark.parametrize("foreign", ["A" * 24, "", "no such request"])
def test_a_foreign_request_id_is_refused(bench: KeyBench, foreign: str) -> None:
    """The id must be that of the request statement; nothing is kept under another."""
    case = bench.authorised()
    require_refused(bench, bench.command(case, request_id=foreign), Reason.WRONG_REQUEST)
    require_nothing(bench, case.request_id)


@pytest.mark.parametrize("member", ["request", "application", "decision", "confirmation"])
def test_a_digest_that_is_none_is_refused(bench: KeyBench, member: str) -> None:
    """What a forger writes for a digest need not even be hexadecimal."""
    case = bench.authorised()
    require_refused(bench, bench.command(case, **{member: "no digest"}), Reason.STATEMENT_MISSING)


def test_a_refused_release_relies_on_nothing(bench: KeyBench) -> None:
    """A release that is refused for its format leaves the journal's memory of entries alone."""
    case = bench.authorised(request={"formats": ("tr-34",)})
    require_refused(bench, bench.command(case), Reason.FORMAT_UNSUPPORTED)
    assert bench.journal.known_seqs("terminal", [bench.world.terminal.terminal_no]) == {}
    bench.journal.rely_on(
        [Reliance("terminal", "ATM-0001", 0, OTHER_DIGEST, OTHER_DIGEST)], cooling=AT_ONCE
    )


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.AES_192, KeyAlgorithm.AES_256])
def test_a_key_stronger_than_its_transport_is_refused(
    bench: KeyBench, algorithm: KeyAlgorithm
) -> None:
    """RSA-2048 carries neither AES-192 nor AES-256; no key is made, no intent is left."""
    bench.policy = KeyPolicy.for_all(algorithm)
    case = bench.authorised()
    require_refused(bench, bench.command(case), Reason.KEY_TOO_STRONG)
    bench.policy = KeyPolicy.for_all(KeyAlgorithm.TDES)
    outcome = bench.release(bench.command(case))
    assert outcome.token_digest is not None
    assert len(bench.clear_key(outcome.token_digest)) == 24


def test_a_request_that_has_ended_gets_no_key(bench: KeyBench) -> None:
    """A cancelled, rejected or expired request gets no key, whoever calls the key worker."""
    case = bench.authorised()
    bench.archive.ended.add(case.request_id)
    require_refused(bench, bench.command(case), Reason.WRONG_STAGE)
