"""The kiosk's HTTP application: one page, its picture and its buttons, for one screen."""

import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Final
from urllib.parse import parse_qs

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from terminal.loadstate import Approval
from terminal.web.background import BackgroundLoad
from terminal.web.bell import Bell
from terminal.web.guard import KioskGuard
from terminal.web.languages import Language, known, preferred
from terminal.web.pages import MEDIA_TYPES, assets, page
from terminal.web.texts import RELOAD_REASONS
from terminal.web.view import loaded_key, view_of

COOKIE: Final = "keyfill_kiosk_language"
COOKIE_SECONDS: Final = 365 * 86_400
ALIVE_SECONDS: Final = 15.0
MAX_FORM_BYTES: Final = 2048


class BodyTooLarge(Exception):
    """A form is longer than any of this kiosk's own."""


def kiosk_app(background: BackgroundLoad, bell: Bell, *, host: str) -> KioskGuard:
    """Make the application of one kiosk; `host` is its only name, with the port."""
    return KioskGuard(_Kiosk(background, bell).app(), host=host)


class _Kiosk:
    def __init__(self, background: BackgroundLoad, bell: Bell) -> None:
        self._background = background
        self._screen = background.screen
        self._bell = bell
        self._boot = os.urandom(6).hex()

    def app(self) -> Starlette:
        post = ["POST"]
        return Starlette(
            routes=[
                Route("/", self._show),
                Route("/updates", self._updates),
                Route("/static/{name}", self._asset),
                Route("/language", self._language, methods=post),
                Route("/load", self._button(self._begin), methods=post),
                Route("/approval", self._button(self._approve), methods=post),
                Route("/cancel", self._press(self._background.cancel), methods=post),
                Route("/give-up", self._press(self._background.give_up), methods=post),
                Route("/again", self._press(self._background.again), methods=post),
                Route("/done", self._press(self._background.dismiss), methods=post),
            ],
            exception_handlers={BodyTooLarge: self._too_large},
        )

    @property
    def _version(self) -> str:
        return f"{self._boot}.{self._screen.told.version}"

    async def _show(self, request: Request) -> Response:
        language = _language_of(request)
        version = self._version
        html = await run_in_threadpool(
            lambda: page(self._background.terminal, view_of(self._background), language, version)
        )
        return HTMLResponse(html, headers={"Content-Language": language})

    async def _updates(self, request: Request) -> Response:
        del request
        return StreamingResponse(self._versions(), media_type="text/event-stream")

    async def _versions(self) -> AsyncIterator[str]:
        """Each new version as a server-sent event, and a comment now and then."""
        seen = ""
        with self._bell.listening() as listener:
            while not self._bell.closed:
                version = self._version
                yield f"data: {json.dumps(version)}\n\n" if version != seen else ":\n\n"
                seen = version
                await listener.wait(ALIVE_SECONDS)

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        content = assets().get(name)
        if content is None:
            return Response(status_code=404)
        return Response(content, media_type=MEDIA_TYPES[f".{name.rpartition('.')[2]}"])

    async def _language(self, request: Request) -> Response:
        language = known((await _form(request)).get("language"))
        answer = RedirectResponse("/", 303)
        if language is not None:
            answer.set_cookie(
                COOKIE, language, max_age=COOKIE_SECONDS, httponly=True, samesite="strict"
            )
        return answer

    def _button(self, act: Callable[[dict[str, str]], object]) -> Callable[[Request], object]:
        """A form: do what it asks for, and show the page again, whatever came of it."""

        async def pressed(request: Request) -> Response:
            await run_in_threadpool(act, await _form(request))
            return RedirectResponse("/", 303)

        return pressed

    def _press(self, act: Callable[[], object]) -> Callable[[Request], object]:
        return self._button(lambda _: act())

    def _begin(self, form: dict[str, str]) -> None:
        reason = form.get("reload_reason")
        if reason in RELOAD_REASONS:
            self._background.begin(reason)
        elif loaded_key(self._background.terminal.epp) is None:
            self._background.begin(None)

    def _approve(self, form: dict[str, str]) -> None:
        try:
            approval = Approval.model_validate(
                {
                    "administrator": form.get("administrator", "").strip(),
                    "code": form.get("code", "").strip(),
                }
            )
        except ValidationError:
            # The error would quote the code.
            self._screen.misread()
            return
        self._screen.type(approval)

    async def _too_large(self, request: Request, error: Exception) -> Response:
        del request, error
        return Response(status_code=413)


async def _form(request: Request) -> dict[str, str]:
    """The fields of an `application/x-www-form-urlencoded` body; one that is not is empty.

    Raises:
        BodyTooLarge: before it is read whole.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise BodyTooLarge
    fields = parse_qs(body.decode("ascii", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


def _language_of(request: Request) -> Language:
    chosen = known(request.cookies.get(COOKIE))
    return chosen or preferred(request.headers.get("accept-language", ""))
