"""A telephone company: Twilio's Messages resource on loopback, with a memory and bad days."""

import json
import re
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs

from engine.embedded import LOOPBACK, free_port
from tests.support.loopbackserver import LoopbackServer


class PhoneCompany:
    """Takes messages while it is `open`; refuses connections while it is closed.

    `messages` are (number, text) of all that it took, in order. While `silent` it takes a message
    and hangs up without an answer, so that its customer cannot know.
    """

    def __init__(self) -> None:
        """Have a port, closed."""
        self.port = free_port()
        self.messages: list[tuple[str, str]] = []
        self.silent = False
        self._server: LoopbackServer | None = None

    @property
    def settings(self) -> dict[str, str]:
        """The ceremony worker's environment that makes it a customer."""
        return {
            "KEYFILL_SMS_GATEWAY": "twilio",
            "KEYFILL_TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "KEYFILL_TWILIO_AUTH_TOKEN": "0f" * 16,
            "KEYFILL_TWILIO_FROM": "+12025550100",
            "KEYFILL_TWILIO_BASE_URL": f"http://{LOOPBACK}:{self.port}",
            "KEYFILL_TWILIO_STATUS_CALLBACK": "https://bank.example/v1/sms/status",
        }

    def texts(self, number: str, pattern: str = "") -> list[str]:
        """What a number got that matches, oldest first."""
        return [text for to, text in self.messages if to == number and re.search(pattern, text)]

    def open(self) -> None:
        """Take connections."""
        company = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                form = parse_qs(self.rfile.read(length).decode())
                company.messages.append((form["To"][0], form["Body"][0]))
                if company.silent:
                    self.close_connection = True
                    return
                sid = f"SM{len(company.messages):032x}"
                content = json.dumps({"sid": sid}).encode()
                self.send_response(201)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self._server = LoopbackServer(Handler, self.port)

    def close(self) -> None:
        """Refuse connections; again is harmless."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
