"""Claims about the delivery of exported keys, against a small HTTP server on loopback."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace

import httpx
import pytest

from ceremony.keyexport import ExportAnswer, ExportMessage, ExportRefused, ExportUnavailable
from gateways.keyexport import MAX_ANSWER_BYTES, HttpKeyExport
from tests.support.exportoffice import ExportOffice, OfficeAnswer

MESSAGE = ExportMessage(
    request_id="A" * 24,
    terminal_no="ATM-0001",
    algorithm="AES-128",
    key_block="D0112K1",
    key_block_digest="ab" * 32,
    exported_at=1_790_000_000,
)
STORED = {"request_id": "A" * 24, "key_block_digest": "ab" * 32, "kcv": "0a1b2c"}


@pytest.fixture
def office() -> Iterator[ExportOffice]:
    """A back office on a free loopback port."""
    server = ExportOffice()
    yield server
    server.close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """An HTTP client that would follow redirects."""
    with httpx.Client(follow_redirects=True) as made:
        yield made


@pytest.fixture
def gateway(office: ExportOffice, client: httpx.Client) -> HttpKeyExport:
    """The gateway, pointed at the office."""
    return HttpKeyExport(f"{office.origin}/keys", "token-1", client, timeout=10)


def test_an_export_is_posted_as_documented(office: ExportOffice, gateway: HttpKeyExport) -> None:
    """One POST with bearer token and idempotency key; the answer is what the office stored."""
    office.answers.append(OfficeAnswer(json.dumps(STORED).encode(), 201))
    assert gateway.deliver(MESSAGE) == ExportAnswer(**STORED)
    (asked,) = office.asked
    assert asked.path == "/keys"
    assert asked.headers["authorization"] == "Bearer token-1"
    assert asked.headers["idempotency-key"] == MESSAGE.request_id
    assert asked.body == asdict(MESSAGE)
    assert set(asked.body) == {
        "request_id",
        "terminal_no",
        "algorithm",
        "key_block",
        "key_block_digest",
        "exported_at",
    }


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_final_refusal_is_told_as_one(
    office: ExportOffice, gateway: HttpKeyExport, status: int
) -> None:
    """What the office will never take is not asked again."""
    office.answers.append(OfficeAnswer(b"{}", status))
    with pytest.raises(ExportRefused, match=f"^http-{status}$"):
        gateway.deliver(MESSAGE)


@pytest.mark.parametrize("status", [202, 204, 401, 403, 404, 408, 425, 429, 500, 502, 503, 504])
def test_all_else_may_be_asked_again(
    office: ExportOffice, gateway: HttpKeyExport, status: int
) -> None:
    """A wrong token or address is the operator's to mend, and no reason to give a key up."""
    office.answers.append(OfficeAnswer(b"", status))
    with pytest.raises(ExportUnavailable, match=f"^http-{status}$"):
        gateway.deliver(MESSAGE)
    assert len(office.asked) == 1


def test_a_redirect_is_not_followed(office: ExportOffice, gateway: HttpKeyExport) -> None:
    """Neither key block nor token go anywhere but where the operator said."""
    office.answers.append(OfficeAnswer(b"", 307, (("Location", f"{office.origin}/else"),)))
    with pytest.raises(ExportUnavailable, match=r"^redirected$"):
        gateway.deliver(MESSAGE)
    assert len(office.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"stored",
        b"[]",
        b"\xff",
        json.dumps({**STORED, "kcv": "0A1B2C"}).encode(),
        json.dumps({**STORED, "kcv": 1}).encode(),
        json.dumps({**STORED, "key_block_digest": "ab"}).encode(),
        json.dumps({name: STORED[name] for name in ("request_id", "kcv")}).encode(),
        b'{"kcv": "0a1b2c", ' + json.dumps(STORED).encode()[1:],
        b"[" * 5000,
    ],
    ids=lambda body: body[:24].decode("latin1"),
)
def test_a_malformed_answer_confirms_nothing(
    office: ExportOffice, gateway: HttpKeyExport, body: bytes
) -> None:
    """It may be some proxy's page; the export stays open."""
    office.answers.append(OfficeAnswer(body))
    with pytest.raises(ExportUnavailable, match=r"^answer-malformed$"):
        gateway.deliver(MESSAGE)


def test_members_that_we_do_not_know_are_passed_over(
    office: ExportOffice, gateway: HttpKeyExport
) -> None:
    """A back office may say more."""
    office.answers.append(OfficeAnswer(json.dumps({**STORED, "stored_at": 1}).encode()))
    assert gateway.deliver(MESSAGE).kcv == "0a1b2c"


def test_an_endless_or_compressed_answer_is_given_up(
    office: ExportOffice, gateway: HttpKeyExport
) -> None:
    """At 16 KiB, or at once."""
    office.answers.append(OfficeAnswer(b" " * (MAX_ANSWER_BYTES + 1)))
    with pytest.raises(ExportUnavailable, match=r"^answer-too-large$"):
        gateway.deliver(MESSAGE)
    office.answers.append(OfficeAnswer(b"{}", 200, (("Content-Encoding", "gzip"),)))
    with pytest.raises(ExportUnavailable, match=r"^answer-malformed$"):
        gateway.deliver(MESSAGE)


def test_a_silent_office_and_a_trickle_time_out(office: ExportOffice, client: httpx.Client) -> None:
    """Within the timeout, however the answer dawdles."""
    gateway = HttpKeyExport(f"{office.origin}/keys", "token-1", client, timeout=0.5)
    office.answers += [
        OfficeAnswer(json.dumps(STORED).encode(), wait=6.0),
        OfficeAnswer(json.dumps(STORED).encode(), pause=0.05),
    ]
    for _ in range(2):
        begun = time.monotonic()
        with pytest.raises(ExportUnavailable, match=r"^timeout$"):
            gateway.deliver(MESSAGE)
        assert time.monotonic() - begun < 4


def test_an_office_that_is_not_there_is_unreachable(client: httpx.Client) -> None:
    """And the error holds neither token nor block."""
    office = ExportOffice()
    origin = office.origin
    office.close()
    gateway = HttpKeyExport(f"{origin}/keys", "token-1", client, timeout=0.5)
    with pytest.raises(ExportUnavailable, match=r"^unreachable$") as caught:
        gateway.deliver(MESSAGE)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        "http://backoffice.example/keys",
        "ftp://backoffice.example/keys",
        "https://user:secret@backoffice.example/keys",
        "https:///keys",
        "keys",
    ],
)
def test_an_address_that_is_not_protected_is_refused(url: str, client: httpx.Client) -> None:
    """Https, but for a loopback address, and no secret in it."""
    with pytest.raises(ValueError, match="URL must"):
        HttpKeyExport(url, "token-1", client)


def test_deliveries_at_once_do_not_mix(office: ExportOffice, gateway: HttpKeyExport) -> None:
    """Each thread gets the answer to its own message."""
    answers: dict[str, str] = {}
    office.echo_kcv = "0a1b2c"

    def deliver(letter: str) -> None:
        answers[letter] = gateway.deliver(replace(MESSAGE, request_id=letter * 24)).request_id

    threads = [threading.Thread(target=deliver, args=(letter,)) for letter in "ABCDEFGH"]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert answers == {letter: letter * 24 for letter in "ABCDEFGH"}
