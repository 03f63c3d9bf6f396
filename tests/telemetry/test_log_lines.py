"""The log of a process says what happened, and nothing that anybody handed to it."""

import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import structlog
from pydantic import BaseModel, SecretStr

from ceremony import names
from ceremony.reasons import Reason
from telemetry import logs
from telemetry.fields import FORMS, Frames, StaffNo, Thumbprint, checked
from telemetry.loglines import CORE_LOG
from tests.support.processlog import ProcessLog, process_log
from tests.support.trespass import QUEUE_OF

REQUEST: Final = "aBcDeFgHiJkLmNoPqRsTuVwX"
_log = logging.getLogger("keyfill.probe")


class Model(BaseModel):
    """As a statement's payload is."""

    number: str


class Shy:
    """Says what it holds to whoever prints it."""

    def __repr__(self) -> str:
        """Say it."""
        return "4917139299999"


SECRETS: Final[dict[str, Any]] = {
    "a SecretStr": SecretStr("s3cr3t-s3cr3t"),
    "a key": bytes(range(32)),
    "a key in hexadecimal": bytes(range(32)).hex(),
    "a statement": "eyJhbGciOiJFUzI1NiJ9.eyJudW1iZXIiOiIrNDkxNzEifQ.c2lnbmF0dXJl",
    "a telephone number": "+4917139299999",
    "a telephone number without its plus": "4917139299999",
    "a session": "q1bN1v2S8h0c3qk5V7uXz9yA6dE8fG0iJ2kL4mN6oP8",
    "a QR code": "https://keyfill.example/a#AbCdEfGh0123456789",
    "an SMS code": "417290",
    "an SMS code as a number": 417290,
    "a check value": "08d7b4",
    "a PEM": "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
    "a model": Model(number="+4917139299999"),
    "a dictionary": {"code": "417290"},
    "an exception": ValueError("the code 417290 of +4917139299999"),
    "an object": Shy(),
}
NEVER: Final = (
    "s3cr3t",
    "eyJ",
    "4917139299999",
    "417290",
    "q1bN1v2S",
    "AbCdEfGh",
    "08d7b4",
    "MIIE",
    "BEGIN",
    bytes(range(6)).hex(),
    "\\x00",
)
DIGESTS: Final = {"digest"}
"""Its form is a key's in hexadecimal, of which no text is made but to be written to a file."""
COUNTS: Final = {name for name, form in FORMS.items() if form(417_290) is not None}


@pytest.fixture(params=[False, True], ids=["json", "for people"])
def log(request: pytest.FixtureRequest) -> Iterator[ProcessLog]:
    """The log of a process, in each of its forms."""
    with process_log(plain=request.param) as made:
        yield made


@pytest.fixture
def lines() -> Iterator[ProcessLog]:
    """The log of a process outside development."""
    with process_log(plain=False) as made:
        yield made


def silent(text: str) -> bool:
    """Whether a text holds nothing of any secret."""
    return not any(one in text for one in NEVER)


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret_gets_out_in_any_way(log: ProcessLog, kind: str) -> None:
    """As argument with and without name, extra, text, exception, its cause, bound or by structlog.

    Under an unknown name and under every name that there is.
    """
    secret = SECRETS[kind]
    _log.warning("positional %s %r %s", secret, secret, "x")
    _log.warning("named %(code)s", {"code": secret})
    _log.warning("extra", extra={"code": secret, "temporal_activity": {"workflow_id": secret}})
    _log.warning(f"text {secret}")
    _log.warning("text " + str(secret) + "%s", 1)
    _log.warning(secret)
    _log.log(logging.WARNING, "%s of %d", secret, 1)
    logging.getLogger("some.library").error("could not read %s", secret)
    logging.getLogger(f"library of {secret}").error("could not read")
    structlog.get_logger("keyfill.probe").warning("named", code=secret)
    structlog.get_logger("keyfill.probe").warning(f"text {secret}")
    with structlog.contextvars.bound_contextvars(request_id=secret, code=secret):
        _log.warning("bound")
    try:
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise ValueError(f"wrong: {secret}") from error
    except ValueError:
        _log.exception("failed", stack_info=True)
    for name in sorted(FORMS.keys() - DIGESTS - COUNTS):
        _log.warning(f"%({name})s", {name: secret})
        structlog.get_logger("keyfill.probe").warning("named", **{name: secret})
    for name in sorted(COUNTS | DIGESTS):
        if not isinstance(secret, int) and kind != "a key in hexadecimal":
            _log.warning("counted", {name: secret})
    assert log.text.count("\n") > 50
    assert silent(log.text), log.text


def test_what_is_known_gets_out_in_text_and_field(log: ProcessLog) -> None:
    """Ids, codes, counts and classes are in the text and beside it; unknown names leave a type."""
    _log.warning(
        "%(request_id)s: %(days)d days, 100 %% %(reason)s by %(error)s and %(file)s",
        {
            "request_id": REQUEST,
            "days": 3,
            "reason": Reason.WRONG_TERMINAL,
            "error": KeyError,
            "file": Path("x/alive"),
            "colour": "red",
        },
    )
    said = f"{REQUEST}: 3 days, 100 % wrong-terminal by KeyError and x/alive"
    assert said in log.text
    if not log.plain:
        (line,) = log.lines()
        assert line["event"] == said
        assert (line["request_id"], line["days"]) == (REQUEST, 3)
        assert line["colour"] == "<str>"
        assert (line["level"], line["logger"], line["role"]) == ("warning", "keyfill.probe", "keys")
        assert line["timestamp"].endswith("+00:00") and line["pid"] > 0


def test_every_line_is_one_json_object(lines: ProcessLog) -> None:
    """Whatever is in it: line ends, quotes, other scripts, an exception, many arguments."""
    _log.warning('two\nlines and "quotes" \x85 \u2028 \u4e2d')
    _log.warning("%s" * 3, 1, 2, 3)
    try:
        raise OSError("first\nsecond")
    except OSError:
        _log.exception("failed")
    assert len(lines.lines()) == len(lines.text.splitlines()) == 3
    assert lines.lines()[0]["event"].startswith("two\nlines")


def test_an_exception_leaves_its_classes_and_frames(lines: ProcessLog) -> None:
    """Also one that a library gives, and the one that caused it."""

    def fails() -> None:
        raise KeyError("417290")

    try:
        try:
            fails()
        except KeyError as error:
            raise OSError("+4917139299999") from error
    except OSError as error:
        logging.getLogger("some.library").warning("it failed", exc_info=error)
    (line,) = lines.lines()
    assert [one["error"] for one in line["raised"]] == ["OSError", "KeyError"]
    (*_, last) = line["raised"][1]["frames"]
    assert last.startswith("telemetry/test_log_lines.py:") and last.endswith(" fails")


def test_what_nobody_caught_is_told_the_same_way(log: ProcessLog) -> None:
    """In the main thread, in another, in a finaliser; and warnings: no text of theirs."""
    import sys

    def fails() -> None:
        raise ValueError("417290")

    try:
        fails()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()

    class Dies:
        def __del__(self) -> None:
            fails()

    made = Dies()
    del made
    warnings.showwarning("417290", UserWarning, __file__, 1)
    assert log.text.count("an error that nobody caught") == 3
    assert "UserWarning in " in log.text
    assert silent(log.text)


def test_a_line_that_cannot_be_written_says_nothing(lines: ProcessLog, capsys: Any) -> None:
    """Logging's own way would print the arguments to standard error."""

    class Broken(dict[str, Any]):
        def __contains__(self, _: object) -> bool:
            raise RuntimeError("417290")

    _log.warning("%(days)d", Broken(days=417290))
    (line,) = lines.lines()
    assert line["event"] == "a log line was lost"
    told = capsys.readouterr()
    assert silent(told.err) and silent(told.out) and silent(lines.text)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Failing workflow task", "Failing workflow task"),
        ("code 417290", "<str>"),
        ("eyJhbGciOiJFUzI1NiJ9", "<str>"),
        ("abcdefghijklmnopqrstuvwxyz", "<str>"),
    ],
)
def test_cores_lines_are_words_and_known_fields(lines: ProcessLog, message: str, said: str) -> None:
    """Temporal's core puts its texts together itself: those of plain words go out."""
    run = "0195d1a0-1111-7222-8333-444455556666"

    class Core:
        def __init__(self) -> None:
            self.message = message
            self.fields = {"run_id": run, "failure": "417290", "workflow_id": "417290"}

    core = logging.getLogger("temporalio.core")
    core.handle(
        core.makeRecord(core.name, 30, "(core)", 0, message, (), None, extra={CORE_LOG: Core()})
    )
    (line,) = lines.lines()
    assert line["event"] == said
    assert (line["run_id"], line["workflow_id"]) == (run, "<str>")
    assert silent(lines.text)


def test_the_level_is_kept_and_talkative_libraries_are_not_heard(lines: ProcessLog) -> None:
    """A library that tells of each call is heard from a warning on."""
    _log.debug("quiet")
    logging.getLogger("httpx").info("HTTP Request: %s", "https://keyfill.example/a#417290")
    logging.getLogger("httpx").warning("trouble")
    assert [line["event"] for line in lines.lines()] == ["trouble"]


def test_set_up_again_replaces(lines: ProcessLog) -> None:
    """One line for one call, however often it was set up."""
    logs.set_up("api", "info", plain=False)
    stream = io.StringIO()
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    _log.info("once")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["role"] == "api"


def test_what_temporal_calls_things_goes_out() -> None:
    """Every workflow id, workflow, activity and signal that there is has the form of its field."""
    run = "0195d1a0-1111-7222-8333-444455556666"
    ids = {
        names.loading_request_id("ATM-0001"),
        names.registry_notes_id(run),
        names.registry_notes_id(f"revocation/{'f' * 64}"),
        names.registry_notes_id(f"enrolment/{'f' * 32}"),
        names.registry_change_id("f" * 64),
        names.key_order_id("f" * 64),
        names.REGISTRY_SYNC_ID,
        f"{names.REGISTRY_SYNC_ID}-2026-11-23T08:00:00Z",
        f"{names.KEY_EXPORT_ID}-2026-11-23T08:00:00Z",
    }
    assert {one for one in ids if checked("workflow_id", one) != one} == set()
    activities = set(QUEUE_OF)
    assert {one for one in activities if checked("activity", one) != one} == set()
    signals = {one for name, one in vars(names).items() if name.startswith("SIGNAL_")}
    assert {one for one in signals if checked("signal", one) != one} == set()
    workflows = ("LoadingRequest", "RegistrySync", "RegistryNotes", "RegistryChange", "KeyOrder")
    assert {one for one in workflows if checked("workflow", one) != one} == set()


def test_forms_are_not_wider_than_meant() -> None:
    """A bool is no number, an exception no class, a list of frames no Frames, half an id no id."""
    assert checked("days", True) == "<bool>"
    assert checked("error", ValueError("x")) == "<ValueError>"
    assert checked("frames", ["417290"]) == "<list>"
    assert checked("frames", Frames(None)) == []
    assert checked("request_id", REQUEST + "\n") == "<str>"
    assert checked("request_id", REQUEST[:-1]) == "<str>"
    assert checked("workflow_id", "loading-request/ATM-0001") == "loading-request/ATM-0001"
    assert checked("workflow_id", "loading-request/12345678") == "loading-request/12345678"
    assert checked("workflow_id", "loading-request/4917139299999") == "<str>"
    assert checked("workflows", ["registry-sync", 3]) == ["registry-sync", "<int>"]
    assert checked("reader", "E-100234") == "<str>"
    assert checked("reader", StaffNo("E-100234")) == "E-100234"
    assert checked("thumbprint", SECRETS["a session"]) == "<str>"
    assert checked("thumbprint", Thumbprint("x")) == "x"
    assert checked("seconds", 1.5) == 1.5
    assert checked("seconds", float("nan")) == "<float>"
