"""What `keyfill doctor` looks at: files, settings of each role, database, Temporal, API."""

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from sqlalchemy import text

from ceremony.trust import Trust, TrustError
from commands import checks
from commands.approvers import unfit_approvers
from commands.checks import Finding
from commands.opened import running_at
from commands.openid import openid_findings
from commands.reaching import answers, temporal_findings, transport_findings
from holdings import HELD_BY, Role
from records import migration
from records.database import Database
from records.engines import Use, open_engine
from records.failures import DatabaseUnavailable, translated
from settings import Settings, SettingsError

_CALL_TEMPORAL: Final[frozenset[Role]] = frozenset({"api", "ceremony", "keys", "operator"})
_REACH_THE_API: Final[frozenset[Role]] = frozenset({"api", "operator"})
"""The key worker's and the codec server's hosts may have no way to it."""

_KDH_CERTIFICATES: Final = {
    "kdh": "KDH",
    "kdh_next": "next KDH",
    "kdh_sm2": "SM2 KDH",
}


@dataclass(frozen=True)
class Examination:
    """One look at a deployment.

    Attributes:
        home: Its folder.
        api: Where the API answers; None for the trust file's origin, from where it is reached.
        codec: Where the codec server answers; None if it is not to be looked for.
        clock: Unix time in seconds.
    """

    home: Path
    api: str | None = None
    codec: str | None = None
    clock: Callable[[], float] = time.time

    async def findings(self) -> AsyncIterator[Finding]:
        """Everything, in the order in which one mends it."""
        roles = self.roles()
        for role in roles:
            yield self._settings(role)
        try:
            settings = settings_of_home(self.home, roles[-1])
        except SettingsError:
            # Without it neither database nor Temporal can be found.
            return
        yield self._payload_keys()
        for finding in (*self._trust(settings), *self._key_manager(), *self._database(settings)):
            yield finding
        if _CALL_TEMPORAL & {*roles}:
            for finding in transport_findings(settings, self.clock):
                yield finding
            async for finding in temporal_findings(settings, self.clock):
                yield finding
        if "api" in roles:
            # The server's own variable, and its default.
            yield checks.trusted_proxies(os.environ.get("FORWARDED_ALLOW_IPS") or "127.0.0.1")
            async for finding in openid_findings(self.home):
                yield finding
        for name, url in self._servers(settings):
            yield await answers(name, url)

    def _servers(self, settings: Settings) -> Iterator[tuple[str, str]]:
        api = self.api
        if api is None and _REACH_THE_API & {*self.roles()}:
            # A trust file that cannot be read is a finding already.
            with suppress(OSError, TrustError):
                api = Trust.read(settings.trust.read_bytes()).origin
        if api is not None:
            yield "API", f"{api}/readyz"
        if self.codec is not None:
            yield "codec server", f"{self.codec}/healthz"

    def roles(self) -> tuple[Role, ...]:
        """The roles whose secrets are here; last the operator, who reads the ceremony's.

        Where there are no secrets at all, it is the operator who lacks them.
        """
        held = [role for role in HELD_BY if (self.home / "secrets" / role).is_dir()]
        named = [role for role in held if role != "operator"]
        return (*named, "operator") if "ceremony" in named or not named else tuple(named)

    def _settings(self, role: Role) -> Finding:
        check = f"settings: {role}"
        try:
            Settings.for_role(role, home=self.home)
        except SettingsError as error:
            return checks.bad(check, f"{error}")
        return checks.good(check, "They can be used.")

    def _payload_keys(self) -> Finding:
        rings: dict[str, str | None] = {}
        for role in self.roles():
            try:
                rings[role] = Settings.unchecked(role, home=self.home).payload_ring
            except SettingsError as error:
                return checks.bad("payload keys", f"{error}")
        return checks.payload_keys(rings)

    def _trust(self, settings: Settings) -> Iterator[Finding]:
        path = settings.trust
        try:
            trust = Trust.read(path.read_bytes())
            mode = path.stat().st_mode
        except OSError:
            yield checks.bad("trust file", f"Put the trust file at {path}.")
            return
        except TrustError as error:
            yield checks.bad("trust file", f"Mend {path}: {error}.")
            return
        yield checks.good("trust file", f"{len(trust.officers)} officers, origin {trust.origin}.")
        development = settings.environment == "development"
        yield checks.trust_file_mode(mode, development=development)
        yield checks.approval_keys(settings.approvals, development=development)
        yield checks.cooling_off(trust.cooling_off_seconds, development=development)
        if "ceremony" in self.roles():
            yield checks.sms_regions(settings.sms_region_list, development=development)
        for root in trust.roots:
            name = root.subject.rfc4514_string()
            yield checks.certificate(f"EPP root {name}", root.not_valid_after_utc, self.clock())

    def _key_manager(self) -> Iterator[Finding]:
        if "keys" not in self.roles():
            return
        from keymanagement.gm.sm2 import Sm2Missing
        from keymanagement.kdh import KdhInvalid
        from keyworker import read_kdh, read_sm2_kdh

        settings = Settings.unchecked("keys", home=self.home)
        check = "key manager"
        if settings.journal.exists():
            yield checks.good("journal", f"It is at {settings.journal}.")
        else:
            yield checks.bad("journal", "Run `keyfill db create-journal`, on a first start only.")
        yield self._policy(settings)
        yield from self._certificates_of_kdh(settings)
        if settings.key_manager != "software":
            # Its PIN is for one process at a time: a wrong one would count as a try.
            yield checks.good(check, "An HSM, which the key worker checks when it starts.")
            return
        try:
            read_kdh(settings, now=int(self.clock()))
            read_sm2_kdh(settings, now=int(self.clock()))
        except (SettingsError, KdhInvalid, Sm2Missing) as error:
            yield checks.bad(check, f"Mend the KDH identity: {error}.")
            return
        if settings.environment == "development":
            yield checks.good(check, "The software key manager can sign.")
        else:
            yield checks.warning(check, "Root on this host can read keys: an HSM keeps them in.")

    def _policy(self, settings: Settings) -> Finding:
        from keymanagement.policy import KeyPolicy, PolicyInvalid
        from keymanagement.port import KeyAlgorithm

        check, algorithm = "key policy", KeyAlgorithm(settings.key_algorithm)
        try:
            KeyPolicy.read(settings.policy.read_text(encoding="utf-8"), algorithm=algorithm)
        except FileNotFoundError:
            if settings.environment != "development" or settings.policy_file is not None:
                return checks.bad(check, f"Put the key policy at {settings.policy}.")
            return checks.good(check, f"There is none: every terminal gets {algorithm} keys.")
        except (OSError, UnicodeDecodeError, PolicyInvalid) as error:
            return checks.bad(check, f"Mend {settings.policy}: {error}.")
        return checks.good(check, f"It is at {settings.policy}.")

    def _certificates_of_kdh(self, settings: Settings) -> Iterator[Finding]:
        for identity, name in _KDH_CERTIFICATES.items():
            # Of a rotation that has come so far, the former one signs nothing and may have ended.
            former = identity == "kdh" and settings.kdh_signs == "next"
            if former or not getattr(settings, f"{identity}_certificate").get_secret_value():
                continue
            check = f"certificate: {name}"
            try:
                pem = settings.secret_text(f"{identity}_certificate").encode()
                ends = x509.load_pem_x509_certificate(pem).not_valid_after_utc
            except SettingsError as error:
                yield checks.bad(check, f"{error}")
            except ValueError:
                yield checks.bad(check, f"Make keyfill_{identity}_certificate one PEM certificate.")
            else:
                yield checks.certificate(name, ends, self.clock())

    def _database(self, settings: Settings) -> Iterator[Finding]:
        url = settings.database
        try:
            schema = checks.schema(migration.current(url), migration.head())
            yield schema
            if schema.grade is checks.Grade.GOOD and "operator" in self.roles():
                yield from self._approvers(settings)
            if not url.startswith("sqlite"):
                yield checks.clock("the database", database_time(url) - self.clock())
        except DatabaseUnavailable as error:
            yield checks.away("database", f"Start it, or mend KEYFILL_DATABASE_URL: {error}.")

    def _approvers(self, settings: Settings) -> Iterator[Finding]:
        # A trust file that cannot be read is a finding already.
        with suppress(SettingsError, TrustError):
            trust, database = settings.read_trust(), Database(settings.database)
            try:
                yield checks.approvers(unfit_approvers(database, trust, now=int(self.clock())))
            finally:
                database.close()


def settings_of_home(home: Path, role: Role) -> Settings:
    """A role's settings, whatever secrets are missing, with Temporal where it runs.

    Raises:
        SettingsError: if a value is malformed.
    """
    settings = Settings.unchecked(role, home=home)
    _ = settings.database
    return running_at(home, settings)


def database_time(url: str) -> float:
    """The clock of a PostgreSQL server, in Unix seconds.

    Raises:
        DatabaseUnavailable: if it does not answer.
    """
    engine = open_engine(url, Use.READ)
    try:
        with translated(), engine.connect() as connection:
            return float(
                connection.execute(
                    text("SELECT extract(epoch FROM clock_timestamp())")
                ).scalar_one()
            )
    finally:
        engine.dispose()
