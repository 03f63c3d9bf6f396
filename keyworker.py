"""The key worker put together: settings -> journal, key manager, KDH, policy -> its activities.

Named only by `worker.py` and by what checks a deployment; holds the only way to the KEK.
"""

import json
import logging
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509

from activities.key_archive import RecordsArchive
from activities.key_exports import ExportRecords, KeyExporting
from activities.key_worker import KeyWorker
from ceremony.codes import CodeBook, EdgeSeal
from ceremony.keys import SigningKey
from ceremony.qr import QrSeal
from ceremony.release_rule import ReleaseSecrets
from ceremony.trust import Trust
from keymanagement.execution import OrderExecution
from keymanagement.exporter import SoftwareKeyExporter
from keymanagement.gm import keytoken as gm
from keymanagement.gm.identity import GmIdentity
from keymanagement.hostcopy import HostCopies
from keymanagement.journal import Journal
from keymanagement.kdh import EXPIRES_SOON_DAYS, KdhExpired, KdhIdentity
from keymanagement.keyexport import KeyExport
from keymanagement.observed import ObservedJournal, ObservedKeyManager
from keymanagement.observer import KeyObserver, Unobserved
from keymanagement.policy import CARRIED, KeyPolicy, PolicyInvalid
from keymanagement.port import KeyAlgorithm, KeyManager
from keymanagement.registrymemory import RegistryMemory
from keymanagement.release import KeyRelease
from keymanagement.releaserecord import RecordSigner
from keymanagement.settlement import KeySettlement
from keymanagement.software import SoftwareKeyManager
from records.database import Database
from settings import Settings, SettingsError
from telemetry.fields import Thumbprint

if TYPE_CHECKING:
    from keymanagement.pkcs11.opening import Hsm

CERTIFICATES: Final = ("kdh", "kdh_next", "kdh_sm2")
"""The KDH's certificates among the settings: each name before `_certificate`."""

_log = logging.getLogger("keyfill.worker")


def key_worker(
    settings: Settings,
    database: Database,
    stack: ExitStack,
    observer: KeyObserver | None = None,
) -> tuple[KeyWorker, KeyExporting]:
    """Put the key worker's activities together; the `observer` keeps its figures.

    Raises:
        SettingsError: if a setting, a secret or a file that they name cannot be used.
        TrustError: if the trust file cannot.
        KdhInvalid: if the KDH cannot sign.
        JournalMissing, JournalCorrupt: if the journal cannot be opened.
    """
    told = observer or Unobserved()
    trust = settings.read_trust()
    keks = (settings.secret("kek"), *settings.former_keks)
    journal = stack.enter_context(ObservedJournal(settings.journal, *keks, observer=told))
    manager = ObservedKeyManager(key_manager(settings, trust, journal, stack, told), told)
    tell_certificates(settings, told)
    record_key = SigningKey.from_jwk(json.loads(settings.secret_text("record_key")))
    archive = RecordsArchive(database)
    release = KeyRelease(
        trust=trust,
        secrets=ReleaseSecrets(
            codes=CodeBook(settings.secret("sms_secret")),
            edge=EdgeSeal(settings.secret("edge_key")),
            qr=QrSeal(settings.secret("qr_key"), trust.audience),
        ),
        journal=journal,
        manager=manager,
        archive=archive,
        records=RecordSigner(record_key, trust.audience),
        policy=read_policy(settings, manager),
    )
    settlement = KeySettlement(trust=trust, journal=journal, archive=archive)
    memory = RegistryMemory(trust=trust, journal=journal, archive=archive)
    orders = OrderExecution(trust=trust, journal=journal, manager=manager, archive=archive)
    keys = KeyWorker(release, settlement, orders, memory)
    return keys, KeyExporting(key_export(settings, journal, database))


def key_manager(
    settings: Settings,
    trust: Trust,
    journal: Journal,
    stack: ExitStack,
    observer: KeyObserver | None = None,
) -> KeyManager:
    """Choose the key manager; of an HSM, compare its keys with the journal from now on.

    Raises:
        SettingsError: if a secret is missing, or the HSM cannot serve as it is set up.
        KdhInvalid: if the KDH cannot sign.
    """
    now, kek = int(time.time()), settings.secret("kek")
    if settings.key_manager == "software":
        sm2_kdh = read_sm2_kdh(settings, now=now)
        kdh = read_kdh(settings, now=now)
        return SoftwareKeyManager(kek, kdh, sm2_kdh, former=settings.former_keks)
    # Only here: its library is for Linux.
    from keymanagement.pkcs11.faults import HsmError
    from keymanagement.pkcs11.opening import HsmChoice, open_hsm

    choice = HsmChoice(
        module=settings.pkcs11_module or Path(),
        token=settings.pkcs11_token,
        pin=settings.secret_text("pkcs11_pin"),
        parameters=settings.pkcs11_parameters,
        parallel=settings.pkcs11_parallel,
        configuration=settings.home / "hsm" / "softhsm2.conf",
        allow_oaep_sha1=settings.pkcs11_allow_oaep_sha1,
        allow_untrusted_wrap=settings.pkcs11_allow_untrusted_wrap,
    )
    try:
        hsm = stack.enter_context(open_hsm(choice))
        kdh = read_kdh(settings, now=now, hsm=hsm)
        return stack.enter_context(
            hsm.key_manager(kdh, kek, journal, deployment=trust.audience, observer=observer)
        )
    except HsmError as error:
        raise SettingsError(f"Mend the HSM: {error}") from error


def key_export(settings: Settings, journal: Journal, database: Database) -> KeyExport:
    """Put the export to the back office together; without an export key it refuses every key."""
    exporter = None
    if settings.key_manager == "software" and settings.export_key.get_secret_value():
        copies = HostCopies(settings.secret("kek"), *settings.former_keks)
        exporter = SoftwareKeyExporter(copies, settings.secret("export_key"))
    return KeyExport(journal=journal, exporter=exporter, archive=ExportRecords(database))


def read_policy(settings: Settings, manager: KeyManager) -> KeyPolicy:
    """Read the key policy, and see that the key manager makes tokens under every rule of it.

    Raises:
        SettingsError: if there is none outside development, or it cannot be used.
    """
    algorithm = KeyAlgorithm(settings.key_algorithm)
    try:
        policy = KeyPolicy.read(settings.policy.read_text(encoding="utf-8"), algorithm=algorithm)
    except PolicyInvalid as error:
        raise SettingsError(f"Mend {settings.policy}: {error}.") from None
    except (OSError, UnicodeDecodeError) as error:
        absent = isinstance(error, FileNotFoundError) and settings.policy_file is None
        if settings.environment != "development" or not absent:
            raise SettingsError(f"Put the key policy at {settings.policy}.") from error
        policy = KeyPolicy.for_all(algorithm)
    sm2 = settings.key_manager == "software" and settings.kdh_sm2_key.get_secret_value()

    def made(algorithm: KeyAlgorithm) -> tuple[str, ...]:
        # An SM2 KDH that expired makes none for now, and that is no fault of the policy.
        kept = (gm.FORMAT,) if sm2 and algorithm in CARRIED[gm.FORMAT] else ()
        return (*manager.formats_for(algorithm), *kept)

    try:
        policy.require_made(made)
    except PolicyInvalid as error:
        raise SettingsError(f"Mend {settings.policy}: {error}.") from None
    return policy


def read_kdh(settings: Settings, *, now: int, hsm: "Hsm | None" = None) -> KdhIdentity:
    """Read the KDH identity that signs; of a rotation under way, the next one is tried too.

    Its keys are secrets of this process, or in the HSM if one is given.

    Raises:
        SettingsError: if a secret is missing.
        KdhInvalid: if an identity cannot sign, or the next one is the current one again.
    """
    following = None
    shown = settings.kdh_next_certificate if hsm is not None else settings.kdh_next_key
    if settings.kdh_signs == "next" or shown.get_secret_value():
        following = _kdh(settings, "kdh_next", now, hsm)
    if following is not None and settings.kdh_signs == "next":
        # The current one may have expired by now: it signs nothing any more.
        return following
    current = _kdh(settings, "kdh", now, hsm)
    if following is not None:
        following.require_successor_of(current)
    return current


def read_sm2_kdh(settings: Settings, *, now: int) -> GmIdentity | None:
    """Read the KDH's SM2 identity; None if the key worker holds none, and makes no `gm-envelope`.

    Nor does one that has expired: that is logged as an error, and loads of terminals with SM2 EPPs
    end with `format-unsupported`. Terminals with RSA EPPs are not to wait for it, nor any receipt.

    Raises:
        SettingsError: if its certificate is missing.
        KdhInvalid: if it cannot sign for another reason.
        Sm2Missing: if there is no SM2 on this machine.
    """
    if not settings.kdh_sm2_key.get_secret_value():
        return None
    key = settings.secret_text("kdh_sm2_key").encode()
    certificate = settings.secret_text("kdh_sm2_certificate").encode()
    try:
        kdh = GmIdentity.from_pem(key, certificate, now=now)
    except KdhExpired:
        _log.error("keyfill_kdh_sm2_certificate has expired: no SM2 EPP gets a key until it is new")
        return None
    _announce("kdh_sm2", kdh, now)
    return kdh


def tell_certificates(settings: Settings, observer: KeyObserver) -> None:
    """Tell when each certificate of the KDH's that this process was given ends.

    Raises:
        SettingsError: if one cannot be read.
    """
    for name in CERTIFICATES:
        if not getattr(settings, f"{name}_certificate").get_secret_value():
            continue
        text = settings.secret_text(f"{name}_certificate")
        try:
            certificate = x509.load_pem_x509_certificate(text.encode())
        except ValueError as error:
            raise SettingsError(
                f"Put a PEM certificate into keyfill_{name}_certificate."
            ) from error
        observer.certificate_ends(name, int(certificate.not_valid_after_utc.timestamp()))


def _kdh(settings: Settings, name: str, now: int, hsm: "Hsm | None") -> KdhIdentity:
    certificate = settings.secret_text(f"{name}_certificate").encode()
    if hsm is not None:
        kdh = hsm.kdh(certificate, now=now)
    else:
        key = settings.secret_text(f"{name}_key").encode()
        kdh = KdhIdentity.from_pem(key, certificate, now=now)
    _announce(name, kdh, now)
    return kdh


def _announce(name: str, kdh: KdhIdentity | GmIdentity, now: int) -> None:
    _log.info(
        "keyfill_%(certificate)s_certificate has the thumbprint %(thumbprint)s",
        {"certificate": name, "thumbprint": Thumbprint(kdh.thumbprint)},
    )
    left = kdh.days_left(now)
    if left < EXPIRES_SOON_DAYS:
        _log.warning(
            "keyfill_%(certificate)s_certificate expires in %(days)d days: rotate the KDH",
            {"certificate": name, "days": left},
        )
