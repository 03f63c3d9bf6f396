"""Claims about the Twilio gateway, against a small HTTP server that stands for Twilio's API."""

import base64
import datetime
import json
import logging
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ceremony.sms import SmsAmbiguous, SmsError, SmsRefused, SmsUnavailable
from gateways.twilio import TwilioGateway
from tests.support.loopbackserver import LoopbackServer

ACCOUNT = "AC" + "0" * 32
SECRET = "f00dfeedf00dfeedf00dfeedf00dfeed"
SID = "SM" + "ab" * 16
TO = "+4915112345678"
TEXT = "Keyfill SMS code 918273 (no. 1)"
SECRETS = (TO, TO.removeprefix("+"), "918273", SECRET)


class Twilio:
    """Twilio's Messages resource with a memory: `answer` is the next (status, body), or an act."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, list[str]]]] = []
        self.answer: tuple[int, object] | Callable[[socket.socket], None] = (201, {"sid": SID})
        memory = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                memory.requests.append((self.path, dict(self.headers), parse_qs(body)))
                if callable(memory.answer):
                    memory.answer(self.connection)
                    self.close_connection = True
                    return
                status, value = memory.answer
                content = (value if isinstance(value, str) else json.dumps(value)).encode()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self.server = LoopbackServer(Handler)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return self.server.origin

    def close(self) -> None:
        """Stop and wait for it."""
        self.server.close()

    def gateway(self, timeout: float = 5.0, **options: object) -> TwilioGateway:
        """A gateway to this Twilio."""
        return TwilioGateway(
            ACCOUNT,
            SECRET,
            "+12025550100",
            base_url=self.url,
            timeout=timeout,
            **options,  # type: ignore[arg-type]
        )


@pytest.fixture
def twilio() -> Iterator[Twilio]:
    """A Twilio on a free loopback port."""
    server = Twilio()
    yield server
    server.close()


def refusal(gateway: TwilioGateway) -> SmsError:
    """The error of one send, after a check that neither it nor its traceback tells anything."""
    with pytest.raises(SmsError) as caught:
        gateway.send("step", TO, TEXT)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = repr(error) + str(error) + repr(vars(error))
    shown += "".join(traceback.format_exception(error))
    assert not any(secret in shown for secret in SECRETS)
    return error


def twilio_error(code: int) -> dict[str, object]:
    """An error body as Twilio writes it: with the number in it."""
    return {"code": code, "message": f"The 'To' number {TO} is not valid. {TEXT}", "status": 400}


def test_a_sent_message_is_recorded_by_its_sid(twilio: Twilio) -> None:
    """The receipt holds Twilio's SID, and the form holds exactly what was meant."""
    gateway = twilio.gateway(status_callback="https://bank.example/v1/sms/status")
    receipt = gateway.send("request/step", TO, TEXT)
    assert receipt.provider_sid == SID
    (request,) = twilio.requests
    path, headers, form = request
    assert path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert form == {
        "To": [TO],
        "From": ["+12025550100"],
        "Body": [TEXT],
        "StatusCallback": ["https://bank.example/v1/sms/status"],
        "ContentRetention": ["discard"],
        "AddressRetention": ["obfuscate"],
        "RiskCheck": ["enable"],
    }
    credentials = base64.b64encode(f"{ACCOUNT}:{SECRET}".encode()).decode()
    assert headers["Authorization"] == f"Basic {credentials}"


def test_a_messaging_service_and_an_api_key(twilio: Twilio) -> None:
    """A sender that is a messaging service and an API key go where Twilio expects them."""
    gateway = TwilioGateway(
        ACCOUNT,
        SECRET,
        "MG" + "1" * 32,
        key_sid="SK" + "2" * 32,
        base_url=twilio.url,
        timeout=5,
        discard=False,
    )
    gateway.send("step", TO, TEXT)
    path, headers, form = twilio.requests[0]
    assert f"/Accounts/{ACCOUNT}/" in path
    assert form["MessagingServiceSid"] == ["MG" + "1" * 32]
    assert not {"From", "StatusCallback", "ContentRetention", "AddressRetention"} & form.keys()
    assert base64.b64decode(headers["Authorization"].split()[1]).startswith(b"SK2")


@pytest.mark.parametrize("code", [21211, 21408, 21610, 21614, 20003])
def test_twilios_no_is_final(twilio: Twilio, code: int) -> None:
    """A 4xx with an error code is refused, and the code is what remains of it."""
    twilio.answer = (401 if code == 20003 else 400, twilio_error(code))
    error = refusal(twilio.gateway())
    assert isinstance(error, SmsRefused)
    assert error.code == str(code)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        ((429, {"code": 20429, "message": TEXT}), SmsUnavailable, "20429"),
        ((429, "slow down"), SmsUnavailable, "http-429"),
        ((400, {"code": 21611, "message": TO}), SmsUnavailable, "21611"),
        ((404, "not here"), SmsRefused, "http-404"),
        ((307, ""), SmsRefused, "http-307"),
        ((408, ""), SmsAmbiguous, "http-408"),
        ((500, {"code": 20500, "message": TEXT}), SmsAmbiguous, "http-500"),
        ((503, "busy"), SmsAmbiguous, "http-503"),
        ((201, "not json"), SmsAmbiguous, "unreadable-answer"),
        ((201, []), SmsAmbiguous, "unreadable-answer"),
        ((201, {"sid": None}), SmsAmbiguous, "unreadable-answer"),
        ((201, {"sid": f"SM {TO}"}), SmsAmbiguous, "unreadable-answer"),
        ((400, {"type": "t", "title": TO, "status": 400, "code": 21614}), SmsRefused, "21614"),
    ],
)
def test_each_answer_says_what_is_known(
    twilio: Twilio, answer: tuple[int, object], kind: type[SmsError], code: str
) -> None:
    """Only what is surely unsent may be repeated; only Twilio's own no is final."""
    twilio.answer = answer
    error = refusal(twilio.gateway())
    assert (type(error), error.code) == (kind, code)
    assert len(twilio.requests) == 1


def test_silence_is_ambiguous(twilio: Twilio) -> None:
    """A timeout after the request went out is ambiguous, and it is asked once only."""
    gone = threading.Event()

    def say_nothing(connection: socket.socket) -> None:
        gone.wait(5)

    twilio.answer = say_nothing
    started = time.monotonic()
    error = refusal(twilio.gateway(timeout=0.3))
    gone.set()
    assert (type(error), error.code) == (SmsAmbiguous, "timeout")
    assert time.monotonic() - started < 3
    assert len(twilio.requests) == 1


def test_a_lost_connection_is_ambiguous(twilio: Twilio) -> None:
    """A connection that ends before the answer is ambiguous, and it is asked once only."""
    twilio.answer = lambda connection: connection.shutdown(socket.SHUT_RDWR)
    error = refusal(twilio.gateway())
    assert (type(error), error.code) == (SmsAmbiguous, "connection-lost")
    assert len(twilio.requests) == 1


def test_a_refused_connection_is_unavailable() -> None:
    """Where nobody listens nothing was sent."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gateway = TwilioGateway(
        ACCOUNT, SECRET, "+12025550100", base_url=f"http://127.0.0.1:{port}", timeout=2
    )
    error = refusal(gateway)
    assert (type(error), error.code) == (SmsUnavailable, "connect-failed")


def test_an_unknown_certificate_is_unavailable(tmp_path: Path) -> None:
    """A server whose certificate does not hold gets no message at all."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def meet() -> None:
            connection, _ = listener.accept()
            with pytest.raises(OSError), connection:
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=meet)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        gateway = TwilioGateway(ACCOUNT, SECRET, "+12025550100", base_url=url, timeout=2)
        error = refusal(gateway)
        thread.join()
    assert (type(error), error.code) == (SmsUnavailable, "certificate-refused")


def test_a_region_off_the_list_costs_nothing(twilio: Twilio) -> None:
    """A number of a region that is not allowed is refused before Twilio hears of it."""
    error = refusal(twilio.gateway(regions=frozenset({"AT", "CH"})))
    assert (type(error), error.code) == (SmsRefused, "region-not-allowed")
    assert twilio.requests == []
    assert twilio.gateway(regions=frozenset({"DE"})).send("step", TO, TEXT).provider_sid == SID


def test_no_log_holds_a_secret(twilio: Twilio, caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level no logger names the number, the text or the credential."""
    caplog.set_level(logging.DEBUG)
    twilio.gateway().send("step", TO, TEXT)
    twilio.answer = (400, twilio_error(21211))
    refusal(twilio.gateway())
    assert not any(secret in caplog.text for secret in SECRETS)
    assert not any(record.name.startswith("twilio") for record in caplog.records)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://api.example",
        "http://api.example",
        "https://api.example/path",
        "https://user@api.example",
        "https://api.example?x=1",
    ],
)
def test_an_unsafe_base_url_is_refused(url: str) -> None:
    """The account's secret goes to a plain https origin, or to this machine."""
    with pytest.raises(ValueError, match="base_url"):
        TwilioGateway(ACCOUNT, SECRET, "+12025550100", base_url=url)
