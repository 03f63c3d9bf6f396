"""A whole run, then a search for its secrets wherever people and backups may read.

Searched: the raw Temporal histories and Temporal's own database file, the records (every column,
and the raw file with its WAL), the processes' logs, and every error body that the API gave. In
plain, as hexadecimal, and as base64 at any alignment.

One place holds telephone numbers by design: the credential entries' signed envelopes, inside their
base64url payloads (design, section 9 says why no column does). The raw database file is therefore
not searched for numbers in base64, but each column is, all but that one.
"""

import base64
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from temporalio.api.enums.v1 import EventType

from ceremony.encoding import from_b64, from_b64url
from ceremony.qr import token_of
from ceremony.stages import Stage
from commands.samples import EPP_FOLDER
from holdings import DEVELOPMENT_MARK, HELD_BY
from records.engines import sqlite_path
from terminal.eppfactory import sample_private_key_pem
from terminal.eppstore import EppStore
from tests.support.attacked import Bench
from tests.support.genuine import APPROVAL, CODE, Ceremony, token_contents
from tests.support.keytokens import OAEP_SHA256

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENVELOPES: Final = ("credential_entries", "envelope")
NO_SECRETS: Final = frozenset({"database_url"})
"""What lies with the secrets, besides certificates, and is none here: it holds no password."""
TRESPASS: Final = "trespass/"
PUT_IN: Final = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
    }
)
"""The events that hold what a trespass hands over."""
SHORT: Final = 8
"""Secrets below this length are looked for as a word of their own: `417` is in many numbers."""


@cache
def spellings(secret: bytes) -> frozenset[bytes]:
    """How a secret may be written: plain, hexadecimal, base64 and base64url at each alignment."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    for shift in range(3):
        padded = base64.b64encode(b"\0" * shift + secret)
        # Only the characters that depend on the secret alone.
        first = -(-shift * 8 // 6)
        whole = (shift + len(secret)) * 8 // 6
        found |= {padded[first:whole], padded[first:whole].translate(_URL)}
    return frozenset(found)


_URL: Final = bytes.maketrans(b"+/", b"-_")


def hits(text: bytes, secrets: dict[str, bytes]) -> set[str]:
    """The names of the secrets that a text holds."""
    return {name for name, secret in secrets.items() if _holds(text, secret)}


def _holds(text: bytes, secret: bytes) -> bool:
    if len(secret) >= SHORT:
        return any(one in text for one in spellings(secret))
    alone = rb"(?<![0-9A-Za-z_.:+-])" + re.escape(secret) + rb"(?![0-9A-Za-z_:-])"
    return re.search(alone, text) is not None


async def test_the_search_finds_what_is_there() -> None:
    """Each spelling of a planted secret is found, in the midst of other bytes."""
    secret = b"+4917139299999"
    for shift in range(7):
        for said in (
            secret,
            secret.hex().encode(),
            base64.b64encode(b"x" * shift + secret + b"y" * 5),
            base64.urlsafe_b64encode(b'{"number":"'[: shift + 4] + secret + b'"}'),
        ):
            assert hits(b"before " + said + b" after", {"number": secret}) == {"number"}
    assert hits(b'"code":"123456"', {"code": b"123456"})
    assert not hits(b"1795123456", {"code": b"123456"})


async def test_the_search_knows_the_roles_secrets(bench: Bench) -> None:
    """Every file that a role holds is found, in whole or in the part that makes it a secret."""
    found = _role_secrets(bench)
    held = {name for names in HELD_BY.values() for name in names} - {"kdh_certificate"}
    known = {name.partition(" ")[0] for name in found}
    assert known >= held - {"payload_keys"} | {"outbox_key", "export_key", "kdh_sm2_key"}
    for name in known:
        (path, *_) = (bench.home.path / "secrets").glob(f"*/keyfill_{name}")
        assert hits(path.read_bytes(), found), name
    key = load_pem_private_key(found["kdh_key as PEM"], None)
    assert isinstance(key, RSAPrivateKey)
    prime = key.private_numbers().p
    assert hits(prime.to_bytes(-(-prime.bit_length() // 8)), found) == {"kdh_key prime"}
    assert all(len(secret) >= SHORT for secret in found.values())


async def test_no_secret_of_a_whole_run_is_anywhere(bench: Bench) -> None:
    """Codes, sessions, status tokens, QR codes, numbers and clear keys of several loads: no hit.

    Nor of any secret that a process holds.
    With everything that goes wrong in between: wrong codes, malformed bodies around right ones,
    refused statements, tokens in the wrong place, a rejection.
    """
    loads = [await _troubled(bench), await Ceremony.at(bench, Stage.LOADED)]
    rejected = await Ceremony.at(bench, Stage.AWAITING_REVIEW)
    await rejected.decide("reject", reason_code="not-ordered", reason="no visit")
    secrets = {
        f"{name} of {load.place.terminal_no}": value
        for load in [*loads, rejected]
        for name, value in _secrets(load).items()
    }
    assert len(secrets) > 20
    secrets |= _role_secrets(bench)
    await _see_what_is_there(bench, loads[0].request_id.encode())
    for where, text in [
        *_error_bodies(bench),
        *_logs(bench),
        *[one async for one in _histories(bench)],
        *_columns(bench),
    ]:
        assert not hits(text, secrets), where
    numbers = {name: value for name, value in secrets.items() if name.startswith("number")}
    others = {name: value for name, value in secrets.items() if name not in numbers}
    for path in _database_files(bench):
        raw = path.read_bytes()
        assert not hits(raw, others), path.name
        for name, number in numbers.items():
            # Base64 is what the envelopes are written in: see the columns.
            assert number not in raw, (path.name, name)
            assert number.hex().encode() not in raw, (path.name, name)


async def test_the_check_value_is_nowhere_before_the_receipt(bench: Bench) -> None:
    """The KCV of a released key: with it, a terminal's software could claim a load that never was.

    Looked for as its six digits, alone or behind any other characters.
    """
    load = await Ceremony.at(bench, Stage.AWAITING_RECEIPT)
    kcv = load.take_key().encode()
    secrets = {"kcv": kcv}
    for where, text in [
        *_logs(bench),
        *[one async for one in _histories(bench)],
        *_columns(bench),
    ]:
        assert not hits(text, secrets), where
    for path in _database_files(bench):
        assert not hits(path.read_bytes(), secrets), path.name
    await load.to(Stage.LOADED)


async def _see_what_is_there(bench: Bench, request_id: bytes) -> None:
    """Make sure that the search reaches what it searches: no secret, but the request's id."""
    known = {"request": request_id}
    histories = [text async for _, text in _histories(bench)]
    assert any(hits(text, known) for text in histories)
    assert any(hits(text, known) for _, text in _columns(bench))
    files = {
        path.name.partition("-")[0]
        for path in _database_files(bench)
        if request_id in path.read_bytes()
    }
    named = {"keyfill.db", "temporal.db"} if sqlite_path(bench.url) else {"temporal.db"}
    assert files == named


async def _troubled(bench: Bench) -> Ceremony:
    """A load in which much goes wrong, with genuine secrets in all the wrong places."""
    load = await Ceremony.open(bench)
    code = await load.sms_code()
    session = await load.session(load.place.first)
    text = load.sign_application()
    good = {"statement": text, "qr_text": load.qr_text, "sms_code": code}
    for body in (
        {**good, "sms_code": f"{code} {load.place.first.number}"},
        {**good, "sms_code": int(code)},
        {**good, "qr_text": f"{load.qr_text}x"},
        {**good, "statement": f"{text}x"},
        {**good, "number": load.place.first.number},
        {"statement": {"qr_text": load.qr_text, "sms_code": code}},
    ):
        answer = await load.post("/v1/applications", body, session=session)
        assert 400 <= answer.status_code < 500
    for path in (
        f"/v1/loading-requests/{load.status_token}",
        f"/v1/reviews/{session}",
        f"/v1/loading-requests/{load.request_id}?after={code}x&wait={session}",
    ):
        headers = {"Authorization": f"Bearer {load.status_token}{session}"}
        assert (await load.http.get(path, headers=headers)).status_code >= 400
    assert (await load.apply(code=f"{(int(code) + 1) % 1_000_000:06}")).status_code == 403
    await load.to(Stage.AWAITING_CONFIRMATION)
    approval = await load.approval_code()
    wrong = f"{(int(approval) + 1) % 10_000:04}"
    assert (await load.confirm(code=wrong)).status_code == 403
    both = {"statement": load.said["confirmation"], "approval_code": [approval, code]}
    path = f"/v1/loading-requests/{load.request_id}/confirmation"
    assert (await load.post(path, both)).status_code == 422
    return await load.to(Stage.LOADED)


def _secrets(load: Ceremony) -> dict[str, bytes]:
    place = load.place
    found: dict[str, str] = {
        "QR text": load.qr_text,
        "QR token": token_of(load.qr_text, load.bench.trust.origin),
        "status token": load.status_token,
        "number of the first": place.first.number,
        "number of the second": place.second.number,
        "number without its plus": place.first.number.removeprefix("+"),
    }
    found |= {f"session of {who}": token for who, token in load.sessions.items()}
    found |= {f"SMS code {n}": code for n, code in enumerate(load.sms(CODE, place.first))}
    for code in load.sms(APPROVAL, place.first):
        found |= {"approval code as typed": f'"{code}"', "approval code as sent": f"code {code}"}
    secrets = {name: value.encode() for name, value in found.items()}
    if load.token:
        secrets["clear key"] = _clear_key(load)
    return secrets


def _role_secrets(bench: Bench) -> dict[str, bytes]:
    """All that lies below the home's secrets, but for certificates, which are public."""
    found: dict[str, bytes] = {}
    for path in sorted((bench.home.path / "secrets").glob("*/keyfill_*")):
        name = path.name.removeprefix("keyfill_")
        if name not in NO_SECRETS and not name.endswith("_certificate"):
            text = path.read_text().removeprefix(DEVELOPMENT_MARK).strip()
            found |= {f"{name} {part}": secret for part, secret in _parts(text).items()}
    return found


def _parts(text: str) -> dict[str, bytes]:
    """What of a secret's text is to be looked for: as it stands, and what it says."""
    parts = {"as it stands": text.encode()}
    if text.startswith("-----BEGIN"):
        lines = text.splitlines()[1:-1]
        # Its first and last lines may hold what is public as well.
        parts = {"as PEM": text.encode(), "line": lines[len(lines) // 2].encode()}
        parts["as DER"] = base64.b64decode("".join(lines))
        with suppress(UnsupportedAlgorithm, ValueError):
            key = load_pem_private_key(text.encode(), None)
            assert isinstance(key, RSAPrivateKey)
            prime = key.private_numbers().p
            parts["prime"] = prime.to_bytes(-(-prime.bit_length() // 8))
    elif text.startswith("{"):
        private = str(json.loads(text)["d"])
        parts |= {"d": private.encode(), "d in bytes": from_b64url(private)}
    else:
        for n, word in enumerate(text.split()):
            value = word.rpartition(":")[2]
            with suppress(ValueError):
                parts |= {f"word {n}": value.encode(), f"bytes {n}": bytes.fromhex(value)}
    return parts


def _clear_key(load: Ceremony) -> bytes:
    """The terminal master key, as only its EPP knows it."""
    store = EppStore(load.place.folder / EPP_FOLDER)
    key: Any = load_pem_private_key(sample_private_key_pem(store), password=None)
    encrypted = from_b64url(str(token_contents(load.token)["encrypted_key"]))
    clear = key.decrypt(encrypted, OAEP_SHA256)
    assert isinstance(clear, bytes)
    return clear


def _error_bodies(bench: Bench) -> Iterator[tuple[str, bytes]]:
    assert bench.error_bodies
    for n, body in enumerate(bench.error_bodies):
        yield f"error body {n}", body.encode()


def _logs(bench: Bench) -> Iterator[tuple[str, bytes]]:
    for path in sorted(bench.home.logs.iterdir()):
        yield path.name, path.read_bytes()


async def _histories(bench: Bench) -> AsyncIterator[tuple[str, bytes]]:
    """Every workflow's history and description, as they cross the wire.

    Of a trespass not what it puts in itself: other tests' attackers hand over whole envelopes.
    """
    async for one in bench.client.list_workflows():
        handle = bench.client.get_workflow_handle(one.id, run_id=one.run_id)
        history = await handle.fetch_history()
        described = (await handle.describe()).raw_description
        handed_over = PUT_IN if one.id.startswith(TRESPASS) else ()
        events = [
            event.SerializeToString()
            for event in history.events
            if event.event_type not in handed_over
        ]
        yield f"history of {one.id}", b"".join([*events, described.SerializeToString()])


def _columns(bench: Bench) -> Iterator[tuple[str, bytes]]:
    with bench.ledger.records() as rows:
        for (table,) in rows.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            yield from _table(rows, str(table))


def _table(rows: sqlite3.Connection, table: str) -> Iterator[tuple[str, bytes]]:
    cursor = rows.execute(f"SELECT * FROM {table}")  # noqa: S608
    names = [column[0] for column in cursor.description]
    found: dict[str, list[bytes]] = {name: [] for name in names if (table, name) != ENVELOPES}
    for values in cursor:
        for name, value in zip(names, values, strict=True):
            if name in found and value is not None:
                text = value if isinstance(value, bytes) else str(value).encode()
                # Base64 in base64, as a statement's payload may hold it.
                found[name] += [text, *map(_decoded, text.split(b"."))]
    for name, texts in found.items():
        yield f"{table}.{name}", b"\n".join(texts)


def _decoded(part: bytes) -> bytes:
    try:
        return from_b64url(part.decode())
    except ValueError:
        pass
    try:
        return from_b64(part.decode())
    except ValueError:
        return b""


def _database_files(bench: Bench) -> list[Path]:
    found = [
        path
        for name in ("keyfill.db", "temporal.db")
        for path in sorted(bench.home.path.glob(f"{name}*"))
    ]
    assert found
    return found
