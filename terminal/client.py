"""The terminal's calls to the server (the design's HTTP contract).

The caller stores a statement before it is posted, so that the same one goes out again after a
restart too. Every method may raise what `PatientHttp.call` raises.
"""

from typing import Final
from urllib.parse import quote

import httpx

from terminal.answers import (
    ChallengeAnswer,
    ConfirmedAnswer,
    OpenedAnswer,
    StageAnswer,
    StatusAnswer,
)
from terminal.transport import CONNECT_SECONDS, READ_SECONDS, A, PatientHttp

LONGEST_POLL_SECONDS: Final = 25


class KeyfillClient:
    """Keyfill's server as one terminal sees it. Close it, or use it as a context manager."""

    def __init__(self, http: PatientHttp) -> None:
        """Bind the server."""
        self._http = http
        self.server = http.server

    def __enter__(self) -> "KeyfillClient":
        """Hold the connection for a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def server_time(self) -> float | None:
        """The server's clock now, Unix seconds; None if no answer told it. Not authenticated."""
        return self._http.server_time()

    def challenge(self) -> str:
        """Ask for a challenge, which the next `request` has to name within two minutes."""
        return self._http.call("POST", "/v1/challenges", ChallengeAnswer).challenge

    def request(self, statement: str) -> OpenedAnswer:
        """Open a loading request, or join the one that is open."""
        return self._post("/v1/loading-requests", OpenedAnswer, statement)

    def status(self, request_id: str, status_token: str, *, after: int, wait: int) -> StatusAnswer:
        """Ask where the request stands; waits up to `wait` seconds for a version above `after`."""
        wait = min(wait, LONGEST_POLL_SECONDS)
        return self._http.call(
            "GET",
            _path(request_id),
            StatusAnswer,
            params={"after": after, "wait": wait},
            headers={"Authorization": f"Bearer {status_token}"},
            timeout=httpx.Timeout(READ_SECONDS + wait, connect=CONNECT_SECONDS),
            # Whoever waits in front of the screen sees at once that the server is back.
            repeated={"params": {"after": after, "wait": 0}},
        )

    def confirmation(self, request_id: str, statement: str, approval_code: str) -> ConfirmedAnswer:
        """Confirm the approved application; the key token comes back."""
        path = _path(request_id, "confirmation")
        return self._post(path, ConfirmedAnswer, statement, approval_code=approval_code)

    def receipt(self, request_id: str, statement: str) -> StageAnswer:
        """Hand in the receipt; the server's KCV comes back if it agrees."""
        return self._post(_path(request_id, "receipt"), StageAnswer, statement)

    def cancellation(self, request_id: str, statement: str) -> StageAnswer:
        """Cancel the loading request."""
        return self._post(_path(request_id, "cancellation"), StageAnswer, statement)

    def _post(self, path: str, expected: type[A], statement: str, **members: str) -> A:
        return self._http.call("POST", path, expected, json={"statement": statement, **members})


def _path(request_id: str, act: str | None = None) -> str:
    path = f"/v1/loading-requests/{quote(request_id, safe='')}"
    return path if act is None else f"{path}/{act}"
