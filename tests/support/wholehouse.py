"""The whole system as processes, for real browsers: its terminals' kiosks, and people with phones.

async with whole_house(folder) as house:
    folder = await house.terminal("ATM-0101", first, second)
    with house.kiosk(folder) as kiosk:
        async with house.phone(chromium, first) as phone:
            ...
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser

from commands.samples import SampleTerminal, make_sample_terminal
from tests.support.attacked import EPP_BITS, Bench, attacked
from tests.support.browser import PHONE, Authenticator, Colours, Window, window
from tests.support.genuine import eventually
from tests.support.kioskbench import ROOT, KioskProcess

CODE: Final = re.compile(r"(?:SMS code |短信验证码)(\d{6})")
APPROVAL: Final = re.compile(r"(?:Approval code |审批码)(\d{4})")
LINK: Final = re.compile(r"https?://\S+")
COMMAND_WITHIN: Final = 60.0


@dataclass
class Human:
    """Somebody of the bank; `passkeys` is what the phone keeps from one window to the next."""

    person: str
    staff_no: str
    name: str
    number: str = field(repr=False)
    roles: tuple[str, ...] = ("administrator",)
    passkeys: list[dict[str, Any]] = field(default_factory=list, repr=False)


@dataclass
class Phone(Window):
    """A window whose authenticator holds its owner's passkeys."""

    owner: Human
    key: Authenticator


@dataclass
class WholeHouse:
    """Everything runs; made by `whole_house`."""

    bench: Bench

    @property
    def origin(self) -> str:
        """Where the pages are: passkeys work on localhost only."""
        return self.bench.trust.origin

    async def keyfill(self, *arguments: str) -> str:
        """Run a `keyfill` command on this home; gives what it printed."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "KEYFILL_HOME": str(self.bench.home.path),
            "KEYFILL_TEMPORAL_ADDRESS": self.bench.server.target.address,
        }
        done = await asyncio.to_thread(
            lambda: subprocess.run(
                [sys.executable, "-P", "-m", "cli", *arguments],
                env=environment,
                capture_output=True,
                text=True,
                timeout=COMMAND_WITHIN,
                check=False,
            )
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def enrolment_link(self, who: Human) -> str:
        """A one-time link, by `keyfill administrators link`."""
        roles = [part for role in who.roles for part in ("--role", role)]
        told = await self.keyfill(
            *("administrators", "link", who.person, "--staff-no", who.staff_no),
            *("--name", who.name, "--number", who.number, *roles, "--json"),
        )
        link: str = json.loads(told)["link"]
        return link

    async def terminal(
        self, terminal_no: str, first: str, second: str, *, branch: str = "Main Street"
    ) -> Path:
        """Register a terminal with its administrators (persons); gives its folder."""
        sample = SampleTerminal(terminal_no, first, second, branch=branch, epp_bits=EPP_BITS)
        folder = make_sample_terminal(self.bench.home, sample, now=int(time.time()))
        report = await self.bench.synchronise()
        assert report.added == 1, report
        return folder

    @contextmanager
    def kiosk(self, folder: Path) -> Iterator[KioskProcess]:
        """Switch a terminal's kiosk on, and off at the end."""
        process = KioskProcess(folder, self.origin)
        try:
            yield process
        finally:
            process.leave()

    @asynccontextmanager
    async def phone(
        self,
        started: Browser,
        owner: Human,
        *,
        size: tuple[int, int] = PHONE,
        locale: str = "en-GB",
        colours: Colours = "light",
    ) -> AsyncIterator[Phone]:
        """Somebody's phone, with all passkeys that it has by now."""
        async with window(
            started, self.origin, size=size, locale=locale, colours=colours, touch=True
        ) as opened:
            key = await opened.authenticator()
            for passkey in owner.passkeys:
                parameters = {"authenticatorId": key.id, "credential": passkey}
                await key.session.send("WebAuthn.addCredential", parameters)
            phone = Phone(opened.context, opened.page, opened.watch, owner, key)
            try:
                yield phone
            finally:
                owner.passkeys = await phone.key.credentials()

    @asynccontextmanager
    async def sms_in(self, language: str) -> AsyncIterator[None]:
        """Let the SMS be written in another language for a while: another ceremony worker."""
        await self.bench.stop("ceremony")
        await self.bench.start_worker("ceremony", KEYFILL_SMS_LANGUAGE=language)
        yield
        await self.bench.stop("ceremony")
        await self.bench.start_worker("ceremony")

    async def sms(self, who: Human, pattern: re.Pattern[str], about: str) -> str:
        """What the newest SMS that matches says, of those that name a terminal; waits for it.

        Gives the pattern's group, or all of the match where it has none.
        """

        def look() -> str | None:
            texts = [one.text for one in self.bench.ledger.messages(who.number)]
            found = [pattern.search(text) for text in texts if about in text]
            matches = [one[pattern.groups] for one in found if one is not None]
            return matches[-1] if matches else None

        return await eventually(look, "the SMS")


@asynccontextmanager
async def whole_house(folder: Path) -> AsyncIterator[WholeHouse]:
    """Start Temporal, both workers and the API; stop them at the end."""
    async with attacked(folder) as bench:
        yield WholeHouse(bench)
