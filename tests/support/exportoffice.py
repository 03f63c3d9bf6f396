"""The ATM back office as exported keys reach it: an HTTP server on loopback with a memory."""

import json
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

import psec

from ceremony.encoding import sha256_hex
from keymanagement.checkvalue import key_check_value
from keymanagement.port import KeyAlgorithm
from tests.support.loopbackserver import LoopbackServer


class OfficeAnswer(NamedTuple):
    """One answer; `wait` is seconds before it, `pause` seconds before each byte of its body."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    wait: float = 0.0
    pause: float = 0.0


@dataclass
class Asked:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class ExportOffice:
    """Answers with `answers` in turn; then, if it has the export key, as the contract says.

    `stored` are the keys by request, opened with a parser that is not Keyfill's. With `echo_kcv` it
    confirms whatever comes, with this KCV.
    """

    export_key: bytes | None = None
    echo_kcv: str | None = None
    answers: list[OfficeAnswer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    stored: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    latest: dict[str, int] = field(default_factory=dict)
    """When the key that each terminal has was exported."""

    def __post_init__(self) -> None:
        """Start listening on a free port."""
        office = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = json.loads(self.rfile.read(length))
                headers = {name.lower(): value for name, value in self.headers.items()}
                office.asked.append(Asked(self.path, headers, body))
                answer = office.answers.pop(0) if office.answers else office.judge(body)
                time.sleep(answer.wait)
                try:
                    self._send(answer)
                except OSError:
                    self.close_connection = True

            def _send(self, answer: OfficeAnswer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                size = 1 if answer.pause else 65536
                for start in range(0, len(answer.body), size):
                    time.sleep(answer.pause)
                    self.wfile.write(answer.body[start : start + size])

        self.server = LoopbackServer(Handler)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self.server.origin

    def close(self) -> None:
        """Stop and wait for it."""
        self.server.close()

    def judge(self, body: dict[str, Any]) -> OfficeAnswer:
        """Answer as docs/backoffice-export.md asks: open, check, store once, name the KCV."""
        if self.echo_kcv is not None:
            return _stored(body["request_id"], body["key_block_digest"], self.echo_kcv)
        if self.export_key is None:
            return OfficeAnswer(b"", 503)
        block = body["key_block"]
        if sha256_hex(block.encode()) != body["key_block_digest"]:
            return OfficeAnswer(b"", 400)
        try:
            header, key = psec.tr31.unwrap(self.export_key, block)
        except ValueError:
            return OfficeAnswer(b"", 422)
        if header.blocks["LB"] != f"{body['request_id']} {body['terminal_no']}":
            return OfficeAnswer(b"", 422)
        terminal_no, exported_at = body["terminal_no"], body["exported_at"]
        if body["request_id"] not in self.stored:
            if exported_at < self.latest.get(terminal_no, 0):
                return OfficeAnswer(b"", 409)
            self.latest[terminal_no] = exported_at
        first, _ = self.stored.setdefault(body["request_id"], (body["key_block_digest"], key))
        if first != body["key_block_digest"]:
            return OfficeAnswer(b"", 409)
        kcv = key_check_value(KeyAlgorithm(body["algorithm"]), key)
        return _stored(body["request_id"], first, kcv)


def _stored(request_id: str, digest: str, kcv: str) -> OfficeAnswer:
    said = {"request_id": request_id, "key_block_digest": digest, "kcv": kcv}
    return OfficeAnswer(json.dumps(said).encode())
