"""Calls to the OpenID provider: bounded in time and size, JSON only, no redirects."""

import asyncio
from collections.abc import Mapping
from functools import cached_property
from ssl import SSLContext
from typing import Any, Final

import httpx

from api.oidcclient import MAX_ANSWER_BYTES, ProviderFault
from ceremony.encoding import EncodingError, strict_json

WHOLE_SECONDS: Final = 8.0
"""For one call with its whole answer; somebody waits in front of a browser."""
_SERVER_ERRORS: Final = 500
_TOO_MANY: Final = 429


class ProviderCalls:
    """Calls a provider. `seconds` bounds each call as a whole."""

    def __init__(self, *, seconds: float = WHOLE_SECONDS) -> None:
        """Nothing is called yet."""
        self._seconds = seconds

    async def get(self, url: str) -> Mapping[str, Any]:
        """Fetch a JSON object.

        Raises:
            ProviderFault: if it is away, slow, too large, or no JSON object; `way-unusable` if our
                own settings of the way there are at fault.
        """
        status, answer = await self._call("GET", url, {}, None)
        if status != httpx.codes.OK:
            raise ProviderFault(f"http-{status}")
        return answer

    async def post(
        self, url: str, headers: Mapping[str, str], body: str
    ) -> tuple[int, Mapping[str, Any]]:
        """Send a form, and give the status with the JSON object that came.

        Raises:
            ProviderFault: as `get`, and for a server that has a fault itself; what the provider
                refuses (4xx) is an answer.
        """
        return await self._call("POST", url, headers, body)

    async def _call(
        self, method: str, url: str, headers: Mapping[str, str], body: str | None
    ) -> tuple[int, Mapping[str, Any]]:
        try:
            async with asyncio.timeout(self._seconds):
                status, content = await self._fetch(method, url, headers, body)
        except (TimeoutError, httpx.TimeoutException):
            raise ProviderFault("timeout") from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
            # The last for a host that cannot be a name (IDNA).
            raise ProviderFault("unreachable") from None
        if status >= _SERVER_ERRORS or status == _TOO_MANY:
            raise ProviderFault(f"http-{status}")
        try:
            return status, strict_json(content)
        except EncodingError:
            raise ProviderFault(
                "no-json" if status == httpx.codes.OK else f"http-{status}"
            ) from None

    async def _fetch(
        self, method: str, url: str, headers: Mapping[str, str], body: str | None
    ) -> tuple[int, bytes]:
        # Without compression, for a small answer must not become a large one.
        asked = {**headers, "Accept": "application/json", "Accept-Encoding": "identity"}
        async with (
            self._client(url) as client,
            client.stream(method, url, headers=asked, content=body) as response,
        ):
            content = bytearray()
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise ProviderFault("too-large")
            return response.status_code, bytes(content)

    def _client(self, url: str) -> httpx.AsyncClient:
        try:
            return httpx.AsyncClient(
                timeout=self._seconds,
                follow_redirects=False,
                verify=self._tls,
                # Plain http is a provider on this machine, which no proxy reaches.
                trust_env=not url.startswith("http:"),
            )
        except (OSError, ValueError, ImportError, httpx.InvalidURL):
            # SSL_CERT_FILE names no authorities, or HTTPS_PROXY no proxy that can be used.
            raise ProviderFault("way-unusable") from None

    @cached_property
    def _tls(self) -> SSLContext:
        # Reading the authorities takes longer than a call does.
        return httpx.create_ssl_context()
