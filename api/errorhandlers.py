"""Errors become documents here and nowhere else: typed ones, the framework's, the unforeseen."""

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.ceremonies import CeremoniesAway
from api.limits import RateLimited
from api.pages.errors import answer
from api.pages.visitors import SignInFirst
from api.problems import ApiProblem, Malformed, TooMany, Unavailable, document
from records.failures import DatabaseUnavailable, Unstorable
from telemetry.fields import Frames

_log = logging.getLogger("keyfill.api")

_STATUS_CODES: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "malformed",
        404: "not-found",
        405: "method-not-allowed",
        413: "body-too-large",
        415: "media-type-unsupported",
    }
)


class _Other(ApiProblem):
    """Any further status that the framework answers with."""

    def __init__(self, status: int) -> None:
        super().__init__(_STATUS_CODES.get(status, "refused"))
        self.status = status


async def _api_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiProblem)  # noqa: S101 - how the handler is registered
    return answer(request, error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - how the handler is registered
    response = answer(request, _Other(error.status_code))
    response.headers.update(error.headers or {})
    return response


async def _sign_in_first(_: Request, error: Exception) -> Response:
    assert isinstance(error, SignInFirst)  # noqa: S101 - how the handler is registered
    return RedirectResponse(error.location, 303)


async def _schema(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - how the handler is registered
    errors = error.errors()
    if any(one["type"] == "json_invalid" for one in errors):
        return answer(request, Malformed("malformed"))
    return answer(request, _Schema([_rule_broken(one) for one in errors]))


class _Schema(ApiProblem):
    """422: readable, but not of the documented form."""

    status = 422

    def __init__(self, fields: list[str]) -> None:
        super().__init__("schema", members={"fields": fields})


def _rule_broken(error: Mapping[str, Any]) -> str:
    where = list(error["loc"])
    if error["type"] == "extra_forbidden":
        # The name of an unknown field is the caller's text, and might be the secret itself.
        where[-1] = "?"
    return f"{'.'.join(str(part) for part in where)}: {error['type']}"


async def _rate_limited(request: Request, error: Exception) -> Response:
    assert isinstance(error, RateLimited)  # noqa: S101 - how the handler is registered
    return answer(request, TooMany(error.retry_after))


async def _database_away(request: Request, error: Exception) -> Response:
    del error
    return answer(request, Unavailable("database-unavailable"))


async def _unstorable(request: Request, error: Exception) -> Response:
    del error
    return answer(request, Malformed("malformed"))


async def _ceremonies_away(request: Request, error: Exception) -> Response:
    del error
    return answer(request, Unavailable("temporal-unavailable"))


def install(app: FastAPI) -> None:
    """Register the handlers that turn errors into documents."""
    app.add_exception_handler(ApiProblem, _api_problem)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _schema)
    app.add_exception_handler(RateLimited, _rate_limited)
    app.add_exception_handler(SignInFirst, _sign_in_first)
    app.add_exception_handler(DatabaseUnavailable, _database_away)
    app.add_exception_handler(Unstorable, _unstorable)
    app.add_exception_handler(CeremoniesAway, _ceremonies_away)


class _Unexpected(ApiProblem):
    """500: a fault of ours."""

    status = 500

    def __init__(self) -> None:
        super().__init__("internal-error")


def _unexpected(scope: Scope) -> Response:
    try:
        return answer(Request(scope), _Unexpected())
    except Exception:  # noqa: BLE001 - the page of the fault is at fault itself
        return document(_Unexpected())


class UnexpectedErrors:
    """Answers what nobody foresaw with a bare 500, and logs where it came from.

    The exception's message stays out of the log: it may repeat what the caller sent. The server
    below would log it, so the exception ends here.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, note)
        except Exception as error:  # noqa: BLE001 - the last one before the server
            _log.error(
                "unexpected %(error)s at %(frames)s",
                {"error": type(error), "frames": Frames(error.__traceback__)},
            )
            if not started:
                await _unexpected(scope)(scope, receive, send)
