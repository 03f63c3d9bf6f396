"""Attacks over HTTP alone, with genuine credentials in the wrong hands or at the wrong time."""

import asyncio
import time
from collections import Counter
from dataclasses import replace

import httpx
import pytest

from ceremony.encoding import b64url, from_b64url
from ceremony.qr import QrContents, QrSeal, qr_text, token_of
from ceremony.reasons import Reason
from ceremony.registry import envelope_statements
from ceremony.signing import new_nonce
from ceremony.stages import Stage
from ceremony.statements import TerminalEntry
from ceremony.verification import peek
from settings import Settings
from tests.support.attacked import Bench, Place
from tests.support.forging import malleated
from tests.support.genuine import CODE, Ceremony, eventually
from tests.support.guessing import guess_at_once, times_refused

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNKNOWN_ID = "n4bQgYhMfWWaL-qgxVrQFaO_"


def terminal_entry(bench: Bench, place: Place) -> TerminalEntry:
    """The terminal's entry in force."""
    sql = "SELECT envelope FROM terminal_entries WHERE terminal_no = ? AND current"
    said = peek(envelope_statements(str(bench.value(sql, place.terminal_no)))[0]).payload
    assert isinstance(said, TerminalEntry)
    return said


async def test_of_a_thousand_parallel_guesses_five_are_evaluated(bench: Bench) -> None:
    """A thief of the first administrator's phone key guesses the SMS code, all guesses at once."""
    load = await Ceremony.open(bench)
    right = int(await load.sms_code())
    session = await load.session(load.place.first)
    headers = {"Authorization": f"Bearer {session}"}

    async def guess(n: int) -> httpx.Response:
        body = {
            "statement": load.sign_application(),
            "qr_text": load.qr_text,
            "sms_code": f"{(right + n) % 1_000_000:06}",
        }
        return await load.http.post("/v1/applications", json=body, headers=headers)

    await guess_at_once(load, guess)
    assert times_refused(load, Reason.SMS_CODE_WRONG) == 5
    assert (await load.apply(code=f"{right:06}")).status_code in (409, 429)
    assert not load.account.keys


async def test_codes_asked_for_all_at_once_are_one_code(bench: Bench) -> None:
    """Twenty requests for a code at once, by the administrator and by somebody else: one SMS."""
    load, other = await Ceremony.open(bench), await bench.place()
    stranger = await load.session(other.first)
    own = await load.session(load.place.first)
    body = {"qr_text": load.qr_text}
    asked = [
        load.post("/v1/applications/sms-codes", body, session=session)
        for session in (own, stranger) * 10
    ]
    answers = Counter([one.status_code for one in await asyncio.gather(*asked)])
    assert set(answers) <= {202, 429, 503}, answers
    # Not by asking once more: whoever asked ten times is over the limit.
    await eventually(lambda: load.sms(CODE, load.place.first) or None, "the SMS code")
    assert load.steps() == ["code-1"]
    assert not bench.ledger.messages(*other.numbers)


async def test_an_unassigned_administrator_gets_nowhere(bench: Bench) -> None:
    """Another terminal's administrators ask for codes, documents and reviews, apply and decide.

    What they are told about this request is what anyone is told of one that does not exist.
    """
    load, other = await Ceremony.open(bench), await bench.place()
    code = await load.sms_code()
    for stranger in (other.first, other.second, load.place.second):
        session = await load.session(stranger)
        document = await load.post(
            "/v1/applications/document", {"qr_text": load.qr_text}, session=session
        )
        assert document.status_code == 403
        applied = await load.apply(code=code, signer=stranger)
        assert applied.status_code == 403
        assert applied.json().get("attempts_left") is None
    await load.to(Stage.AWAITING_REVIEW)
    for stranger in (other.first, other.second):
        session = await load.session(stranger)
        headers = {"Authorization": f"Bearer {session}"}
        for path in ("/v1/reviews/{}", "/v1/loading-requests/{}", "/v1/loading-requests/{}/events"):
            mine = await load.http.get(path.format(load.request_id), headers=headers)
            none = await load.http.get(path.format(UNKNOWN_ID), headers=headers)
            assert mine.status_code == none.status_code
            assert mine.json() == none.json()
        assert (await load.decide(signer=stranger)).status_code == 404
    assert (await load.decide(signer=load.place.first)).status_code in (403, 404)
    assert load.stage is Stage.AWAITING_REVIEW
    await load.to(Stage.LOADED)


async def test_two_accounts_of_one_phone_are_not_two_administrators(bench: Bench) -> None:
    """The second administrator is enrolled, by both officers, with the first one's number."""
    place = await bench.place()
    n = int(place.second.staff_no.removeprefix("A"))
    bench.enrol(place.second.person, n, seq=2, number=place.first.number)
    refused = await Ceremony(bench, place, bench.http(place), place.epp()).ask()
    assert refused.status_code == 403
    assert not bench.ledger.account(place.terminal_no).keys


async def test_a_terminal_with_one_person_twice_is_not_synchronised(bench: Bench) -> None:
    """The back office names one person as both administrators: refused, the old entry stays."""
    place = await bench.place()
    said = terminal_entry(bench, place)
    twice = {**said.model_dump(), "nonce": new_nonce(), "seq": 2, "second": said.first}
    bench.publish(TerminalEntry(**twice))
    report = await bench.synchronise()
    assert [one.reason for one in report.refused] == [Reason.SAME_PERSON]
    bench.publish(said)
    await Ceremony.at(bench, Stage.AWAITING_REVIEW, place)


async def test_qr_codes_used_expired_foreign_and_flipped_are_refused(bench: Bench) -> None:
    """A right application, right code, but another QR code than the terminal shows now."""
    load, other = await Ceremony.open(bench), await Ceremony.open(bench)
    code, session = await load.sms_code(), await load.session(load.place.first)
    origin, now = bench.trust.origin, int(time.time())
    qr_key = Settings.for_role("api", home=bench.home.path).secret("qr_key")
    seal, forged = QrSeal(qr_key, bench.trust.audience), QrSeal(bytes(64), bench.trust.audience)
    number = load.place.terminal_no
    sealed = token_of(load.qr_text, origin)
    raw = from_b64url(sealed)
    flipped = [
        b64url(bytes(byte ^ (1 << at % 8) if at == place else byte for at, byte in enumerate(raw)))
        for place in range(0, len(raw), 3)
    ]
    tokens = [
        token_of(other.qr_text, origin),
        seal.token(QrContents(load.request_id, number, 0, now - 1)),
        seal.token(QrContents(other.request_id, number, 0, now + 60)),
        forged.token(QrContents(load.request_id, number, 0, now + 60)),
        sealed[:-1],
        "",
        *flipped,
    ]
    texts = [qr_text(origin, token) for token in tokens]
    texts += [qr_text("https://keyfill.example", sealed), sealed, load.qr_text.upper()]
    elsewhere = QrContents(load.request_id, other.place.terminal_no, 0, now + 60)
    texts.append(qr_text(origin, seal.token(elsewhere)))
    for text in texts:
        refused = await load.post("/v1/applications/document", {"qr_text": text}, session=session)
        # No attacker can seal the last one: only what is applied for with it need be refused.
        assert refused.status_code in (403, 410, 422) or text == texts[-1], text
        # It looks the same for a request that is another administrator's, and sends nothing.
        await load.post("/v1/applications/sms-codes", {"qr_text": text}, session=session)
        # Everything else about it is right: the statement names the QR code that is shown.
        applied = await load.apply(code=code, qr_text=text)
        assert applied.status_code in (403, 422), text
    assert (load.steps(), other.steps()) == (["code-1"], [])
    assert load.stage is Stage.AWAITING_APPLICATION
    await load.to(Stage.AWAITING_REVIEW)
    accepted = load.said["application"]
    used = await load.apply(code=code)
    assert used.status_code == 409
    load.said["application"] = accepted
    await load.to(Stage.LOADED)


async def test_replayed_and_malleated_statements_answer_and_do_nothing(bench: Bench) -> None:
    """Every statement of a finished load sent again, and again with the other valid signature."""
    load = await Ceremony.at(bench, Stage.LOADED)
    before = load.account
    said = dict(load.said)
    approval = await load.approval_code()
    first, second = await load.session(load.place.first), await load.session(load.place.second)
    base = f"/v1/loading-requests/{load.request_id}"
    for change in (str, malleated):
        sent = {
            "/v1/loading-requests": ({"statement": change(said["request"])}, None),
            "/v1/applications": (
                {
                    "statement": change(said["application"]),
                    "qr_text": load.qr_text,
                    "sms_code": "000000",
                },
                first,
            ),
            f"/v1/reviews/{load.request_id}/decision": (
                {"statement": change(said["decision"])},
                second,
            ),
            f"{base}/confirmation": (
                {"statement": change(said["confirmation"]), "approval_code": approval},
                None,
            ),
            f"{base}/receipt": ({"statement": change(said["receipt"])}, None),
        }
        for path, (body, session) in sent.items():
            answer = await load.post(path, body, session=session)
            assert answer.status_code in (200, 201, 401, 409), (path, answer.text)
    assert load.account == before
    assert load.stage is Stage.LOADED


async def test_confirmation_before_approval_is_out_of_place(bench: Bench) -> None:
    """A technician confirms at once, with the right approval code even, and tries a receipt."""
    load = await Ceremony.open(bench)
    _, approval = bench.codes(load.place, load.request_id)
    for stage in (Stage.AWAITING_APPLICATION, Stage.AWAITING_REVIEW):
        await load.to(stage)
        refused = await load.confirm(code=approval)
        assert refused.status_code == 409
        assert (await load.receive(kcv="a1b2c3")).status_code in (403, 409)
        assert load.stage is stage
    assert not load.account.keys
    await load.to(Stage.LOADED)


async def test_a_changed_assignment_after_approval_ends_the_request(bench: Bench) -> None:
    """Back office and officers name another second administrator after the old one approved."""
    load, other = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION), await bench.place()
    code = await load.approval_code()
    said = terminal_entry(bench, load.place)
    changed = {"nonce": new_nonce(), "seq": 2, "second": other.second.person}
    bench.publish(TerminalEntry(**{**said.model_dump(), **changed}), *bench.officers)
    assert (await bench.synchronise()).ended == (load.place.terminal_no,)
    await eventually(lambda: load.stage is Stage.FAILED or None)
    assert (await load.confirm(code=code)).status_code == 409
    assert not load.account.keys


async def test_a_changed_assignment_needs_as_many_officers_as_an_enrolment(bench: Bench) -> None:
    """The feed key, alone and with one officer, names another first or second administrator."""
    load, other = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION), await bench.place()
    said, before = terminal_entry(bench, load.place), load.registry_digest
    swapped = {"first": said.second, "second": said.first}
    for changes in ({"first": other.first.person}, {"second": other.second.person}, swapped):
        for officers in ((), bench.officers[:1]):
            entry = {**said.model_dump(), "nonce": new_nonce(), "seq": 2, **changes}
            bench.publish(TerminalEntry(**entry), *officers)
            report = await bench.synchronise()
            assert (report.changed, report.waiting, len(report.refused)) == (0, 0, 1)
    bench.publish(said)
    assert load.registry_digest == before
    await load.to(Stage.LOADED)


async def test_a_change_that_nobody_tells_of_is_seen_at_confirmation(bench: Bench) -> None:
    """The same, but the notice to the workflow is suppressed: the entry is simply there."""
    load = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION)
    await load.approval_code()
    n = int(load.place.second.staff_no.removeprefix("A"))
    bench.enrol(load.place.second.person, n, seq=2)
    refused = await load.confirm()
    assert (refused.status_code, refused.json()["code"]) == (403, Reason.REGISTRY_CHANGED)
    assert load.stage is Stage.FAILED
    assert not load.account.keys


async def test_a_changed_certificate_needs_an_officer(bench: Bench) -> None:
    """The feed key alone puts another terminal's EPP, or a device key of its own, into an entry."""
    load, other = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION), await bench.place()
    said, foreign = terminal_entry(bench, load.place), terminal_entry(bench, other)
    before = load.registry_digest
    for changes in (
        {"device_key": foreign.device_key},
        {"epp_certificate": foreign.epp_certificate},
    ):
        entry = {**said.model_dump(), "nonce": new_nonce(), "seq": 2, **changes}
        bench.publish(TerminalEntry(**entry))
        report = await bench.synchronise()
        assert report.changed == 0
        assert len(report.refused) == 1
    bench.publish(said)
    assert load.registry_digest == before
    await load.to(Stage.LOADED)


@pytest.mark.parametrize("invented", ["before the import", "after a refusal"])
async def test_a_wrong_receipt_leaves_both_keys(bench: Bench, invented: str) -> None:
    """The terminal's software claims a load with a KCV of its own; or says that the EPP refused."""
    place = await bench.place()
    first = await Ceremony.at(bench, Stage.LOADED, place)
    await bench.client.get_workflow_handle(f"loading-request/{place.terminal_no}").result()
    load = await Ceremony.at(bench, Stage.AWAITING_RECEIPT, place)
    if invented == "before the import":
        answer = await load.receive(kcv="000000")
    else:
        answer = await load.receive(outcome="refused", kcv=None, error="RandomInvalid")
    assert answer.json() == {"stage": "UNCONFIRMED", "kcv": None}
    assert load.account.states == ["active", "unconfirmed"]
    assert load.account.keys[first.request_id][0] == "active"


async def test_cancellation_after_release_is_refused(bench: Bench) -> None:
    """The terminal and its administrators cancel once the key is out: 409, the key stays."""
    load = await Ceremony.at(bench, Stage.AWAITING_RECEIPT)
    before = load.account
    assert (await load.cancel()).status_code == 409
    for who in (load.place.first, load.place.second):
        assert (await load.cancel(who.key)).status_code == 401
        body = {"statement": load.said["cancellation"]}
        path = f"/v1/loading-requests/{load.request_id}/cancellation"
        refused = await load.post(path, body, session=await load.session(who))
        assert refused.status_code == 409, refused.text
    assert load.account == before
    await load.to(Stage.LOADED)


async def test_a_lost_nonce_gets_the_same_key_three_times_more(bench: Bench) -> None:
    """The EPP lost its nonce, again and again: the same key, and after three times no more."""
    load = await Ceremony.at(bench, Stage.AWAITING_RECEIPT)
    before = load.account
    for n in range(2, 5):
        assert (await load.confirm()).status_code == 200
        assert len(load.account.tokens) == n
        assert load.account.keys == before.keys
    assert (await load.confirm()).status_code == 403
    assert len(load.account.tokens) == 4
    assert load.account.keys == before.keys


async def test_a_device_key_that_asks_every_moment_has_one_request(bench: Bench) -> None:
    """A copied device key asks for new loading requests without end: one, until it is limited."""
    load = await Ceremony.open(bench)
    answers: Counter[int] = Counter()
    for _ in range(7):
        asked = await asyncio.gather(*(load.ask() for _ in range(20)))
        answers.update(one.status_code for one in asked)
        opened = {one.json()["request_id"] for one in asked if one.status_code == 201}
        assert opened <= {load.request_id}
    assert set(answers) <= {201, 429, 503}
    assert answers[429] > 0
    sql = "SELECT count(*) FROM loading_requests WHERE terminal_no = ?"
    assert bench.value(sql, load.place.terminal_no) == 1
    assert load.steps() == []


async def test_a_copied_device_key_confirms_for_no_other_epp(bench: Bench) -> None:
    """A device key copied from the ATM's disk names another EPP, or another terminal."""
    load, other = await Ceremony.at(bench, Stage.AWAITING_CONFIRMATION), await bench.place()
    code = await load.approval_code()
    thief = replace(load, said=dict(load.said), epp=other.epp())
    refused = await thief.confirm(code=code)
    assert refused.status_code == 403
    assert load.stage is Stage.FAILED
    fresh = Ceremony(bench, other, bench.http(other), other.epp())
    assert (await fresh.ask(signer=load.place.device)).status_code in (401, 403)
    assert not load.account.keys
