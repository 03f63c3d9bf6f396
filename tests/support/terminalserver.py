"""A small Keyfill for one terminal, on loopback: real statements and tokens, faults on demand.

It remembers every statement that arrived and gives the same one the same answer, as the real
server does. What happens between a terminal's calls (applications, decisions) a test sets.
"""

import json
import os
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler
from threading import Condition
from typing import Any, Self

from cryptography import x509

from ceremony.encoding import b64, sha256_hex
from ceremony.keys import PublicKey
from ceremony.stages import FINAL, Stage
from ceremony.statements import (
    PAYLOADS,
    ConfirmationPayload,
    Kind,
    ReceiptPayload,
    request_id_of,
)
from ceremony.verification import EnrolledKey, peek, verify
from keymanagement.checkvalue import key_check_value
from keymanagement.kdh import KdhIdentity, make_development_kdh
from keymanagement.port import KeyAlgorithm
from keymanagement.tr34 import keytoken as tr34
from keymanagement.tr34.header import KeyBlockHeader
from tests.support.certificates import Epp
from tests.support.keytokens import TokenForge, encrypted_to
from tests.support.loopbackserver import LoopbackServer

AUDIENCE = "keyfill-test"
ADMINISTRATOR = "A1001"
APPROVAL_CODE = "4711"
STATUS_TOKEN = "status-token-of-the-terminal"
MAX_REWRAPS = 3


@cache
def living_kdh(label: str = "KDH") -> KdhIdentity:
    """A development KDH that is valid at the real time, made once in a test process."""
    del label
    now = int(time.time())
    files = make_development_kdh(now=now - 60)
    return KdhIdentity.from_pem(files.key_pem, files.certificate_pem, now=now)


class Problem(Exception):
    """A refusal, as a problem document."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass
class FakeKeyfill:
    """The server. Use it as a context manager; `faults` are used up by the calls of their path.

    A fault is `cut-before` (the connection breaks before the call is read), `cut-after` (after it
    took effect), or an HTTP status to answer instead (202 takes effect first).
    """

    epp: Epp
    device: PublicKey
    terminal_no: str
    kdh: KdhIdentity = field(default_factory=living_kdh)
    token_format: str = "oaep-jws"
    stage: Stage = Stage.AWAITING_APPLICATION
    reason: str | None = None
    version: int = 1
    tells_qr_digest: bool = True
    request_id: str | None = None
    qr_texts: list[str] = field(default_factory=lambda: ["https://keyfill.test/a#first"])
    accepted_qr: str | None = None
    key: bytes = field(default_factory=lambda: os.urandom(16))
    faults: dict[str, deque[str | int]] = field(default_factory=dict)
    refusals: dict[str, deque[str]] = field(default_factory=dict)
    posted: list[tuple[str, str]] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, bytes] = field(default_factory=dict)
    approves_at_once: bool = True

    def __enter__(self) -> Self:
        self._news = Condition()
        self._looks = 0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                fake.serve(self, {})

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                fake.serve(self, json.loads(self.rfile.read(length) or b"{}"))

        self._server = LoopbackServer(Handler)
        return self

    def __exit__(self, *_: object) -> None:
        with self._news:
            self._news.notify_all()
        self._server.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.origin

    @property
    def kcv(self) -> str:
        """The KCV of the key that it gives out."""
        return key_check_value(KeyAlgorithm.AES_128, self.key)

    def move(self, stage: Stage, reason: str | None = None) -> None:
        """Go to a stage, as people or time make it go."""
        with self._news:
            self.stage, self.reason, self.version = stage, reason, self.version + 1
            self._news.notify_all()

    def fail(self, act: str, *faults: str | int) -> None:
        """Let the next calls of an act (`request`, `confirmation`, …) meet these faults."""
        self.faults.setdefault(act, deque()).extend(faults)

    def refuse(self, act: str, *codes: str) -> None:
        """Let the next statements of an act be refused with these codes."""
        self.refusals.setdefault(act, deque()).extend(codes)

    def count(self, act: str) -> int:
        """How many different statements of an act arrived."""
        return len({digest for kind, digest in self.posted if kind == act})

    def repeats(self, act: str) -> int:
        """How often the most repeated statement of an act arrived."""
        return max(Counter(digest for kind, digest in self.posted if kind == act).values())

    def serve(self, call: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        """Answer one call."""
        act = self._act(call)
        fault = self.faults[act].popleft() if self.faults.get(act) else None
        if fault == "cut-before":
            call.close_connection = True
            return
        if isinstance(fault, int) and fault != 202:
            self._write(call, fault, {"code": "trouble"}, {"Retry-After": "0"})
            return
        try:
            status, answer = 200, self._answer(act, call, body)
        except Problem as problem:
            status, answer = problem.status, {"code": problem.code, "status": problem.status}
        if fault == "cut-after":
            call.close_connection = True
            return
        if fault == 202:
            self._write(call, 202, {"stage": self.stage, "version": self.version})
            return
        self._write(call, status, answer)

    def _act(self, call: BaseHTTPRequestHandler) -> str:
        if call.command == "GET":
            return "status"
        last = call.path.rsplit("/", 1)[-1]
        return {"challenges": "challenge", "loading-requests": "request"}.get(last, last)

    def _answer(
        self, act: str, call: BaseHTTPRequestHandler, body: dict[str, Any]
    ) -> dict[str, Any]:
        if act == "challenge":
            return {"challenge": "fresh", "expires_in": 120, "server_time": int(time.time())}
        if act == "status":
            return self._status(call)
        digest = peek(body["statement"]).digest
        self.posted.append((act, digest))
        if digest not in self.answers:
            if self.refusals.get(act):
                raise Problem(403, self.refusals[act].popleft())
            self.answers[digest] = self._take(act, digest, body)
        if act == "request":
            return {**self.answers[digest], "stage": self.stage, "qr": self._qr()}
        return self.answers[digest]

    def _take(self, act: str, digest: str, body: dict[str, Any]) -> dict[str, Any]:
        payload = verify(
            body["statement"],
            PAYLOADS[Kind(act)],
            [EnrolledKey(self.device)],
            audience=AUDIENCE,
        ).payload
        match payload:
            case ConfirmationPayload():
                return self._confirm(payload, digest, body["approval_code"])
            case ReceiptPayload():
                return self._receive(payload)
        if act == "cancellation":
            self.move(Stage.CANCELLED, "cancelled-by-terminal")
            return {"stage": self.stage}
        self.request_id = self.request_id or request_id_of(digest)
        if self.approves_at_once:
            self.accepted_qr = self.qr_texts[-1]
        return {"request_id": self.request_id, "status_token": STATUS_TOKEN}

    def _confirm(
        self, said: ConfirmationPayload, digest: str, approval_code: str
    ) -> dict[str, Any]:
        if self.stage not in (Stage.AWAITING_CONFIRMATION, Stage.AWAITING_RECEIPT):
            raise Problem(409, "wrong-stage")
        if approval_code != APPROVAL_CODE or said.administrator != ADMINISTRATOR:
            raise Problem(403, "approval-code-wrong")
        if said.qr_digest != self.accepted_digest:
            self.move(Stage.FAILED, "qr-refused")
            raise Problem(403, "qr-refused")
        if len(self.tokens) > MAX_REWRAPS:
            raise Problem(403, "rewraps-exhausted")
        token = self._tr34(said) if self.token_format == "tr34" else self._oaep_jws(said)
        self.tokens[digest] = token
        self.move(Stage.AWAITING_RECEIPT)
        return {
            "stage": Stage.AWAITING_RECEIPT,
            "token": {
                "format": self.token_format,
                "value": b64(token),
                "key_algorithm": "AES-128",
            },
        }

    def _oaep_jws(self, said: ConfirmationPayload) -> bytes:
        now = int(time.time())
        return TokenForge(self.kdh).token(
            {
                "request_id": self.request_id,
                "terminal_no": self.terminal_no,
                "epp_fingerprint": self.epp.fingerprint,
                "krd_nonce": said.krd_nonce,
                "key_usage": "K1",
                "key_algorithm": "AES-128",
                "iat": now,
                "exp": now + 3600,
                "key_encryption": "RSA-OAEP-256",
                "encrypted_key": encrypted_to(self.epp.private_key.public_key(), self.key),
            }
        )

    def _tr34(self, said: ConfirmationPayload) -> bytes:
        return tr34.compose(
            self.key,
            KeyBlockHeader(KeyAlgorithm.AES_128),
            x509.load_der_x509_certificate(self.epp.certificate),
            self.kdh,
            tr34.TwoPass(bytes.fromhex(said.krd_nonce)),
        )

    def _receive(self, said: ReceiptPayload) -> dict[str, Any]:
        if self.stage is not Stage.AWAITING_RECEIPT:
            raise Problem(409, "wrong-stage")
        if said.token_digest not in {sha256_hex(token) for token in self.tokens.values()}:
            raise Problem(403, "token-unknown")
        if said.outcome == "loaded" and said.kcv == self.kcv:
            self.move(Stage.LOADED, "loaded")
            return {"stage": Stage.LOADED, "kcv": self.kcv}
        self.move(Stage.UNCONFIRMED, "terminal-refused")
        return {"stage": Stage.UNCONFIRMED, "kcv": None}

    def _status(self, call: BaseHTTPRequestHandler) -> dict[str, Any]:
        if call.headers.get("Authorization") != f"Bearer {STATUS_TOKEN}":
            raise Problem(401, "not-authenticated")
        after = int(call.path.partition("after=")[2].partition("&")[0] or "0")
        with self._news:
            if float(call.path.partition("wait=")[2] or "0"):
                self._news.wait_for(lambda: self.version > after, 0.02)
            if self.approves_at_once and self.stage is Stage.AWAITING_APPLICATION:
                # Only after the code was shown once more: a terminal may die before it shows one.
                self._looks += 1
                if self._looks > 1:
                    self.stage, self.version = Stage.AWAITING_CONFIRMATION, self.version + 1
        answer = {
            "request_id": self.request_id,
            "stage": self.stage,
            "version": self.version,
            "reason": self.reason if self.stage in FINAL else None,
            "qr": self._qr(),
        }
        if self.tells_qr_digest and self.stage is not Stage.AWAITING_APPLICATION:
            answer["qr_digest"] = self.accepted_digest
        return answer

    @property
    def accepted_digest(self) -> str | None:
        """SHA-256 of the QR token that the accepted application names."""
        text = self.accepted_qr
        return None if text is None else sha256_hex(text.partition("#")[2].encode())

    def _qr(self) -> dict[str, Any] | None:
        if self.stage is not Stage.AWAITING_APPLICATION:
            return None
        return {"text": self.qr_texts[-1], "png": "data:", "expires_at": int(time.time()) + 120}

    def _write(
        self,
        call: BaseHTTPRequestHandler,
        status: int,
        answer: dict[str, Any],
        headers: dict[str, str] | None = None,
    ) -> None:
        data = json.dumps(answer).encode()
        call.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            call.send_header(name, value)
        call.send_header("Content-Length", str(len(data)))
        call.end_headers()
        call.wfile.write(data)
