"""The ATM back office's door for exported keys (docs/backoffice-export.md): one POST a key.

POST <url>
Authorization: Bearer <token>
Idempotency-Key: <request id>

{"request_id", "terminal_no", "algorithm", "key_block", "key_block_digest", "exported_at"}

200 or 201 {"request_id", "key_block_digest", "kcv"}: stored, and the key in it has this KCV.
400, 409, 422: this export is refused for good. Everything else: the same message again, later.
Nothing is retried here, no redirect is followed, and no body is logged.
"""

import json
import time
from dataclasses import asdict
from typing import Any, Final

import httpx

from ceremony.keyexport import ExportAnswer, ExportMessage, ExportRefused, ExportUnavailable

MAX_ANSWER_BYTES: Final = 16 * 1024
_STORED: Final = frozenset({200, 201})
_FINAL: Final = frozenset({400, 409, 422})


class HttpKeyExport:
    """Delivers exports over HTTP.

    Args:
        url: where to post, without user information; https, unless it is a loopback address.
        token: the API token, sent as bearer.
        client: brings TLS; its redirect setting is overruled (refused).
        timeout: seconds for each network operation, and for an answer as a whole.
    """

    def __init__(
        self, url: str, token: str, client: httpx.Client, *, timeout: float = 20.0
    ) -> None:
        target = httpx.URL(url)
        loopback = target.host in {"127.0.0.1", "localhost", "::1"}
        if target.scheme != "https" and not (target.scheme == "http" and loopback):
            raise ValueError("the back office's URL must be https")
        if not target.host or target.userinfo:
            raise ValueError("the back office's URL must have a host, and no user information")
        self._url = target.copy_with(fragment=None)
        self._token = token
        self._client = client
        self._timeout = timeout

    def deliver(self, message: ExportMessage) -> ExportAnswer:
        """Send one export, and give what the back office says it stored.

        Raises:
            ExportRefused: `http-400`, `http-409`, `http-422`.
            ExportUnavailable: `timeout`, `unreachable`, `redirected`, `http-<status>`,
                `answer-too-large`, `answer-malformed`.
        """
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Idempotency-Key": message.request_id,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        try:
            with self._client.stream(
                "POST",
                self._url,
                json=asdict(message),
                headers=headers,
                timeout=self._timeout,
                follow_redirects=False,
            ) as response:
                _check_status(response)
                body = self._body(response)
        except httpx.TimeoutException:
            problem = ExportUnavailable("timeout")
        except httpx.HTTPError:
            problem = ExportUnavailable("unreachable")
        else:
            return _answer(body)
        # Raised out here, because the caught error holds the request with its token.
        raise problem

    def _body(self, response: httpx.Response) -> bytes:
        deadline = time.monotonic() + self._timeout
        body = bytearray()
        # No chunk size: httpx would wait for a whole chunk, and a trickle would never be timed.
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise ExportUnavailable("answer-too-large")
            if time.monotonic() > deadline:
                raise ExportUnavailable("timeout")
        return bytes(body)


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if status in _FINAL:
        raise ExportRefused(f"http-{status}")
    if httpx.codes.is_redirect(status):
        raise ExportUnavailable("redirected")
    if status not in _STORED:
        raise ExportUnavailable(f"http-{status}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ExportUnavailable("answer-malformed")


def _answer(body: bytes) -> ExportAnswer:
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_members)
        return ExportAnswer.of(value if isinstance(value, dict) else {})
    except (ValueError, RecursionError):
        raise ExportUnavailable("answer-malformed") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members
