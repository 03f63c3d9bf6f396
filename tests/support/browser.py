"""A real browser for tests: windows that notice what no page of ours may do.

    async with browser() as chromium, window(chromium, "http://localhost:8480") as phone:
        key = await phone.authenticator()
        await phone.page.goto(...)

A window fails its test at the end for every console error, script error, violation of the content
policy, and request to another host. What a test provokes on purpose it names beforehand: statuses
with `expect`, a lost network with `offline`.
"""

import os
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from playwright.async_api import (
    Browser,
    BrowserContext,
    CDPSession,
    ConsoleMessage,
    Page,
    Request,
    async_playwright,
)

from ceremony.encoding import from_b64url
from tests.support import chromium
from tests.support.authenticator import Passkey

PHONE: Final = (390, 844)
NARROW: Final = (320, 640)
KIOSK: Final = (1024, 768)
DESK: Final = (1280, 800)

_FLAGS: Final = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--disable-gpu",
)
_WATCH_POLICY: Final = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`content policy: ${event.violatedDirective} by ${event.blockedURI}`);
});
"""
_STATUS: Final = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
_LOST: Final = re.compile(r"Failed to load resource: net::ERR_\w+|net::ERR_\w+")
_LOCAL_SCHEMES: Final = frozenset({"data", "blob", "about"})

Colours = Literal["light", "dark"]


def required_browser() -> Path:
    """The browser's program; skips the test where there is none, or fails it where one must be."""
    found = chromium.find()
    if found is None:
        if chromium.required():
            pytest.fail("No Chromium, and REQUIRE_BROWSER is set.")
        pytest.skip("No Chromium here: `python -m tests.support.chromium` installs one.")
    return found


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Start Chromium, headless; it is gone at the end."""
    program = required_browser()
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=program, args=[*_FLAGS, *sandbox]
        )
        try:
            yield started
        finally:
            await started.close()


@dataclass
class Watch:
    """What went wrong in a window, but for what its test expects."""

    origins: tuple[str, ...]
    statuses: set[int] = field(default_factory=set)
    losses: bool = False
    faults: list[str] = field(default_factory=list)

    def heard(self, message: ConsoleMessage) -> None:
        """Take a message of the console."""
        if message.type not in ("error", "warning"):
            return
        status = _STATUS.match(message.text)
        if status and int(status[1]) in self.statuses:
            return
        if self.losses and _LOST.search(message.text):
            return
        self.faults.append(f"console {message.type}: {message.text} ({message.location})")

    def failed(self, error: Exception) -> None:
        """Take an error that no script caught."""
        self.faults.append(f"script error: {error}")

    def asked(self, request: Request) -> None:
        """Take a request."""
        parts = urlsplit(request.url)
        if parts.scheme in _LOCAL_SCHEMES:
            return
        if f"{parts.scheme}://{parts.netloc}" not in self.origins:
            self.faults.append(f"request to another host: {request.url}")


@dataclass
class Authenticator:
    """A virtual authenticator of a window: a phone's own, unlocked by its owner's finger."""

    session: CDPSession
    id: str

    async def add(self, passkey: Passkey, *, user: str = "user") -> None:
        """Put a passkey with an ES256 key into it, to be found without a list."""
        private = passkey.key.signing_key.private_key
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        pkcs8 = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        await self._send(
            "WebAuthn.addCredential",
            credential={
                "credentialId": b64encode(from_b64url(passkey.credential_id)).decode(),
                "isResidentCredential": True,
                "rpId": passkey.rp_id,
                "privateKey": b64encode(pkcs8).decode(),
                "userHandle": b64encode(user.encode()).decode(),
                "signCount": passkey.count,
            },
        )

    async def keep_in_a_cloud(self) -> None:
        """Say of every passkey in it from now on that a cloud keeps a copy."""
        for credential in await self.credentials():
            await self._send(
                "WebAuthn.setCredentialProperties",
                credentialId=credential["credentialId"],
                backupEligibility=True,
                backupState=True,
            )

    async def remove(self) -> None:
        """Take it away from its tab, with all passkeys in it."""
        await self._send("WebAuthn.removeVirtualAuthenticator")

    async def refuse(self) -> None:
        """Let the owner close the next prompts, as by a finger that does not fit."""
        await self._send("WebAuthn.setUserVerified", isUserVerified=False)

    async def consent(self) -> None:
        """Let the owner consent to the next prompts."""
        await self._send("WebAuthn.setUserVerified", isUserVerified=True)

    async def credentials(self) -> list[dict[str, Any]]:
        """The passkeys in it, as the DevTools protocol gives them."""
        found = await self._send("WebAuthn.getCredentials")
        credentials: list[dict[str, Any]] = found["credentials"]
        return credentials

    async def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self.session.send(
            method, {"authenticatorId": self.id, **parameters}
        )
        return found


@dataclass
class Window:
    """A browser context of one person, with a page; made by `window`."""

    context: BrowserContext
    page: Page
    watch: Watch

    async def authenticator(
        self, page: Page | None = None, *, cloud: bool = False
    ) -> Authenticator:
        """Give a page a virtual authenticator; passkeys work on http://localhost only.

        One of a `cloud` says of each passkey that it makes that it may be, and is, backed up.
        """
        session = await self.context.new_cdp_session(page or self.page)
        await session.send("WebAuthn.enable", {"enableUI": False})
        made = await session.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2",
                    "transport": "internal",
                    "hasResidentKey": True,
                    "hasUserVerification": True,
                    "isUserVerified": True,
                    "automaticPresenceSimulation": True,
                    "defaultBackupEligibility": cloud,
                    "defaultBackupState": cloud,
                }
            },
        )
        return Authenticator(session, made["authenticatorId"])

    async def hand_over(self, key: Authenticator, page: Page) -> Authenticator:
        """Take an authenticator with all its passkeys and counters from one tab to another.

        A virtual authenticator belongs to a tab, but the phone's one serves all of them.
        """
        held = await key.credentials()
        await key.session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": key.id})
        taken = await self.authenticator(page)
        for credential in held:
            await taken.session.send(
                "WebAuthn.addCredential",
                {"authenticatorId": taken.id, "credential": credential},
            )
        return taken

    async def tab(self) -> Page:
        """Open another tab, watched as well."""
        page = await self.context.new_page()
        _watch(page, self.watch)
        return page

    @contextmanager
    def expect(self, *statuses: int) -> Iterator[None]:
        """Expect answers of these statuses, which a browser reports in its console."""
        before = set(self.watch.statuses)
        self.watch.statuses |= set(statuses)
        yield
        self.watch.statuses = before

    @asynccontextmanager
    async def offline(self) -> AsyncIterator[None]:
        """Take the network away from all tabs of this window, and give it back at the end."""
        self.watch.losses = True
        await self.context.set_offline(True)
        try:
            yield
        finally:
            await self.context.set_offline(False)

    async def scrolls_sideways(self) -> bool:
        """Whether the page is wider than the window."""
        wide: bool = await self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        return wide


@asynccontextmanager
async def window(
    started: Browser,
    *origins: str,
    size: tuple[int, int] = PHONE,
    locale: str = "en-GB",
    colours: Colours = "light",
    touch: bool = False,
) -> AsyncIterator[Window]:
    """Open a window that may talk to these origins only; asserts at the end that all was well."""
    width, height = size
    context = await started.new_context(
        base_url=origins[0],
        viewport={"width": width, "height": height},
        locale=locale,
        color_scheme=colours,
        has_touch=touch,
        service_workers="block",
    )
    await context.add_init_script(_WATCH_POLICY)
    page = await context.new_page()
    watch = Watch(origins)
    _watch(page, watch)
    opened = Window(context, page, watch)
    try:
        yield opened
    finally:
        await context.close()
    assert not watch.faults, "\n".join(watch.faults)


def _watch(page: Page, watch: Watch) -> None:
    page.on("console", watch.heard)
    page.on("pageerror", watch.failed)
    page.on("request", watch.asked)
