"""A small OpenID provider on loopback: own keys, codes with PKCE, and every way to misbehave.

It signs in whoever `who` names, without asking unless `asks`. What a test changes in `claims`,
`header`, `document` or `answer` goes into the next answers; `spoil` has the last word.
"""

import asyncio
import hmac
import json
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from html import escape
from typing import Any, Final
from urllib.parse import parse_qsl, quote_plus, urlencode

import uvicorn
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from ceremony.encoding import b64url
from engine.embedded import LOOPBACK

CLIENT_ID: Final = "keyfill"
CLIENT_SECRET: Final = "client-secret-7c1b0e54aa"
LIFE: Final = 300
ALGORITHMS: Final = [*jws.JWSRegistry.algorithms]


@cache
def rsa_key(name: str) -> RSAKey:
    """A key by name, made once in a test process."""
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig"})


@cache
def ec_key(name: str) -> ECKey:
    """A key by name, made once in a test process."""
    return ECKey.generate_key("P-256", {"kid": name, "use": "sig"})


@dataclass
class OpenIdProvider:
    """The provider; `issuer` is its address. Times are Unix seconds of `clock`."""

    issuer: str
    clock: Callable[[], float]
    secret: str | None = CLIENT_SECRET
    who: dict[str, Any] = field(default_factory=dict)
    keys: list[RSAKey | ECKey] = field(default_factory=lambda: [ec_key("first")])
    algorithm: str = "ES256"
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    returns: dict[str, str] = field(default_factory=dict)
    spoil: Callable[[str], str] = lambda token: token
    refuses: str | None = None
    asks: bool = False
    fails: dict[str, Response] = field(default_factory=dict)
    sleeps: dict[str, float] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        request = Request(scope, receive)
        path = request.url.path
        self.calls.append(path)
        await asyncio.sleep(self.sleeps.get(path, 0))
        response = self.fails.get(path) or await self._routed(path, request)
        await response(scope, receive, send)

    async def _routed(self, path: str, request: Request) -> Response:
        if path == "/.well-known/openid-configuration":
            return JSONResponse(self.described())
        if path == "/keys":
            return JSONResponse({"keys": [key.as_dict(private=False) for key in self.keys]})
        if path == "/authorize":
            location = self.authorize(dict(request.query_params))
            if self.asks:
                return HTMLResponse(
                    f'<link rel="icon" href="data:,"><a href="{escape(location)}">It is me</a>'
                )
            return RedirectResponse(location, 303)
        if path == "/token":
            form = dict(parse_qsl((await request.body()).decode(), strict_parsing=True))
            return self._token(form, request.headers.get("authorization"))
        return Response(status_code=404)

    def described(self) -> dict[str, Any]:
        """The discovery document."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
            "code_challenge_methods_supported": ["S256"],
            **self.document,
        }

    def authorize(self, asked: dict[str, str]) -> str:
        """Sign `who` in; gives where the browser goes then. Checks what a provider checks."""
        assert asked["response_type"] == "code" and asked["client_id"] == CLIENT_ID
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
        if self.refuses is not None:
            answer = {"error": self.refuses, "state": asked["state"]}
        else:
            code = f"code-{len(self.given)}-{b64url(sha256(asked['state'].encode()).digest())}"
            self.codes[code] = asked
            self.given.append(code)
            answer = {"code": code, "state": asked["state"]}
        return f"{asked['redirect_uri']}?{urlencode({**answer, **self.returns})}"

    def id_token(self, asked: dict[str, str]) -> str:
        """An ID token for this sign-in."""
        now = int(self.clock())
        claims = {
            "iss": self.issuer,
            "sub": "subject-1",
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + LIFE,
            "nonce": asked["nonce"],
            **self.who,
            **self.claims,
        }
        key = self.keys[0]
        header = {"alg": self.algorithm, "kid": key.kid, **self.header}
        told = {name: value for name, value in claims.items() if value is not None}
        sent = {name: value for name, value in header.items() if value is not None}
        # Escaped, as any text may be in JSON.
        return jws.serialize_compact(sent, json.dumps(told).encode(), key, algorithms=ALGORITHMS)

    def _token(self, form: dict[str, str], authorization: str | None) -> Response:
        asked = self.codes.pop(form.get("code", ""), None)
        if not self._is_client(form, authorization):
            return JSONResponse({"error": "invalid_client"}, 401)
        challenge = b64url(sha256(form.get("code_verifier", "").encode()).digest())
        if (
            asked is None
            or form["grant_type"] != "authorization_code"
            or form["redirect_uri"] != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        token = self.spoil(self.id_token(asked))
        self.given.append(token)
        answer = {"access_token": "access-token-51", "token_type": "Bearer", "id_token": token}
        return JSONResponse({**answer, **self.answer})

    def _is_client(self, form: dict[str, str], authorization: str | None) -> bool:
        if self.secret is None:
            return form.get("client_id") == CLIENT_ID and authorization is None
        if "client_secret" in form:
            return (form["client_id"], form["client_secret"]) == (CLIENT_ID, self.secret)
        basic = b64encode(f"{CLIENT_ID}:{quote_plus(self.secret)}".encode()).decode()
        return authorization == f"Basic {basic}"


def unsigned(token: str) -> str:
    """The same claims under `alg: none`, without a signature."""
    header = b64url(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    return f"{header}.{token.split('.')[1]}."


def under_public_key(key: RSAKey) -> Callable[[str], str]:
    """The same claims under HS256 with the provider's public key as the secret."""
    pem = key.as_pem(private=False)

    def spoil(token: str) -> str:
        header = b64url(json.dumps({"alg": "HS256", "kid": key.kid}).encode())
        said = f"{header}.{token.split('.')[1]}"
        return f"{said}.{b64url(hmac.digest(pem, said.encode(), 'sha256'))}"

    return spoil


@asynccontextmanager
async def provided(clock: Callable[[], float]) -> AsyncIterator[OpenIdProvider]:
    """A provider on a free port of the loopback interface."""
    listening = socket.socket()
    listening.bind((LOOPBACK, 0))
    provider = OpenIdProvider(f"http://{LOOPBACK}:{listening.getsockname()[1]}", clock)
    config = uvicorn.Config(provider, lifespan="off", log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve([listening]))
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn tells by a flag only
            await asyncio.sleep(0.005)
        yield provider
    finally:
        server.should_exit = server.force_exit = True
        await running
