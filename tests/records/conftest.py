"""A migrated database per test, and makers of rows with unremarkable values."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ceremony.stages import Stage
from ceremony.statements import Kind
from records.database import Database
from records.tables.credential_entry import CredentialEntryRow, CredentialState
from records.tables.key import KeyRow, KeyState
from records.tables.loading_request import LoadingRequestRow
from records.tables.submission import SubmissionRow
from records.tables.terminal_entry import TerminalEntryRow
from records.tables.token import TokenRow
from records.tables.verdict import VerdictRow
from tests.support.databases import make_database, make_empty_database
from tests.support.twice import ENGINES, Engine

NOW = 1_800_000_000


def digest(text: str) -> str:
    """A digest that stands for `text`."""
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """The kind of database; every test that asks for one runs on each."""
    chosen: Engine = request.param
    return chosen


@pytest.fixture
def database_url(engine: Engine, tmp_path: Path) -> str:
    """The URL of a migrated, empty database of the test's own."""
    return make_database(tmp_path, engine)


@pytest.fixture
def empty_url(engine: Engine, tmp_path: Path) -> str:
    """The URL of a database that was never migrated."""
    return make_empty_database(tmp_path, engine)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def terminal_row() -> Callable[..., TerminalEntryRow]:
    """Makes an entry of terminal T-1; keyword arguments replace its values."""

    def make(terminal_no: str = "T-1", seq: int = 1, **values: Any) -> TerminalEntryRow:
        defaults: dict[str, Any] = {
            "digest": digest(f"{terminal_no} {seq}"),
            "envelope": "{}",
            "model": "M1",
            "branch": "B1",
            "epp_fingerprint": digest(f"epp {terminal_no}"),
            "epp_key_fingerprint": digest(f"epp key {terminal_no}"),
            "device_kid": f"device-{terminal_no}",
            "first_person": "p1",
            "second_person": "p2",
            "valid_until": NOW + 1000,
            "current": True,
            "recorded_at": NOW,
        }
        return TerminalEntryRow(terminal_no=terminal_no, seq=seq, **(defaults | values))

    return make


@pytest.fixture
def credential_row() -> Callable[..., CredentialEntryRow]:
    """Makes a pending credential entry of person p1; keyword arguments replace its values."""

    def make(person: str = "p1", seq: int = 1, **values: Any) -> CredentialEntryRow:
        defaults: dict[str, Any] = {
            "digest": digest(f"{person} {seq}"),
            "staff_no": f"S-{person}",
            "name": "A Name",
            "kid": f"kid-{person}-{seq}",
            "number_digest": digest(f"number {person}"),
            "envelope": "{}",
            "valid_until": NOW + 1000,
            "state": CredentialState.PENDING,
            "roles": '["administrator"]',
            "recorded_at": NOW,
        }
        return CredentialEntryRow(person=person, seq=seq, **(defaults | values))

    return make


@pytest.fixture
def request_row() -> Callable[..., LoadingRequestRow]:
    """Makes a loading request; keyword arguments replace its values."""

    def make(request_id: str = "r1", **values: Any) -> LoadingRequestRow:
        defaults: dict[str, Any] = {
            "terminal_no": "T-1",
            "workflow_id": "loading-request/T-1",
            "stage": Stage.AWAITING_APPLICATION,
            "version": 1,
            "model": "M1",
            "branch": "B1",
            "epp_fingerprint": digest("epp"),
            "registry_digest": digest("registry"),
            "first_person": "p1",
            "second_person": "p2",
            "first_staff_no": "S-p1",
            "second_staff_no": "S-p2",
            "opened_at": NOW,
            "stage_since": NOW,
            "request_digest": digest(request_id),
        }
        return LoadingRequestRow(request_id=request_id, **(defaults | values))

    return make


@pytest.fixture
def submission_row() -> Callable[..., SubmissionRow]:
    """Makes a submitted application; keyword arguments replace its values."""

    def make(name: str = "application", **values: Any) -> SubmissionRow:
        defaults: dict[str, Any] = {
            "digest": digest(name),
            "kind": Kind.APPLICATION,
            "request_id": "r1",
            "terminal_no": "T-1",
            "signer_kid": "kid-p1-1",
            "person": "p1",
            "statement": "a.b.c",
            "received_at": NOW,
        }
        return SubmissionRow(**(defaults | values))

    return make


@pytest.fixture
def verdict_row() -> Callable[..., VerdictRow]:
    """Makes an accepting verdict; keyword arguments replace its values."""

    def make(name: str = "application", **values: Any) -> VerdictRow:
        defaults: dict[str, Any] = {
            "digest": digest(name),
            "request_id": "r1",
            "kind": Kind.APPLICATION,
            "accepted": True,
            "stage": Stage.AWAITING_REVIEW,
            "version": 2,
            "state_json": "{}",
            "decided_at": NOW,
        }
        return VerdictRow(**(defaults | values))

    return make


@pytest.fixture
def key_row() -> Callable[..., KeyRow]:
    """Makes a released key; keyword arguments replace its values."""

    def make(request_id: str = "r1", **values: Any) -> KeyRow:
        defaults: dict[str, Any] = {
            "terminal_no": "T-1",
            "algorithm": "AES-128",
            "host_block": b"block",
            "state": KeyState.RELEASED,
            "release_record": "a.b.c",
            "released_at": NOW,
        }
        return KeyRow(request_id=request_id, **(defaults | values))

    return make


@pytest.fixture
def token_row() -> Callable[..., TokenRow]:
    """Makes a token of request r1; keyword arguments replace its values."""

    def make(ordinal: int = 1, **values: Any) -> TokenRow:
        defaults: dict[str, Any] = {
            "confirmation_digest": digest(f"confirmation {ordinal}"),
            "request_id": "r1",
            "format": "oaep-jws",
            "key_algorithm": "AES-128",
            "value": "dG9rZW4=",
            "token_digest": digest(f"token {ordinal}"),
            "issued_at": NOW,
        }
        return TokenRow(ordinal=ordinal, **(defaults | values))

    return make
