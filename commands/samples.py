"""Sample terminals for development: a folder with an EPP and a device key, and a feed entry.

It plays the EPP's maker, the technician and the ATM back office at once, which nobody may do in
production.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ceremony.encoding import b64, b64url, sha256_hex
from ceremony.registry import envelope_statements, seal_envelope
from ceremony.signing import new_nonce, sign
from ceremony.statements import PublicJwk, TerminalEntry
from ceremony.verification import peek
from commands.homefolder import HomeError, HomeFolder, read_key
from commands.samplehsm import trust_sample
from commands.samplesm2 import read_sm2_root
from terminal.device import make_device_key
from terminal.durable import replace
from terminal.eppfactory import SampleRoot, make_epp
from terminal.eppstore import EppStore
from terminal.gm.factory import make_sm2_epp
from terminal.profile import TerminalProfile

EPP_FOLDER: Final = "epp"
FORMATS: Final = ("tr34", "oaep-jws")
"""The key tokens that a sample RSA EPP takes, best first."""
SM2_FORMATS: Final = ("gm-envelope",)
"""The key tokens that a sample SM2 EPP takes."""
VALID_SECONDS: Final = 365 * 86_400


@dataclass(frozen=True, slots=True)
class SampleTerminal:
    """What a sample terminal is to be; `first` and `second` are persons of the registry.

    Its EPP has an RSA key of `epp_bits`, or an SM2 key.
    """

    terminal_no: str
    first: str
    second: str
    model: str = "Sample 280"
    branch: str = "Main Street"
    epp_bits: int = 3072
    sm2: bool = False


def make_sample_terminal(home: HomeFolder, sample: SampleTerminal, *, now: int) -> Path:
    """Make a terminal's folder and put its entry into the feed file; returns the folder.

    `now` is Unix time in seconds.

    Raises:
        HomeError: if the home is no development home.
        EppStoreError, DeviceKeyError: if there is such a terminal already.
        pydantic.ValidationError: if what it is to be does not fit an entry.
    """
    trust, feed = home.trust(), read_key(home.feed_key)
    folder = home.terminals / sample.terminal_no
    store = _make_epp(home, sample, folder / EPP_FOLDER, now)
    if not sample.sm2:
        trust_sample(home, store.read().certificate)
    device = make_device_key(folder)
    TerminalProfile(
        terminal_no=sample.terminal_no,
        audience=trust.audience,
        kdh_thumbprint=kdh_thumbprint(home, sm2=sample.sm2),
        formats=SM2_FORMATS if sample.sm2 else FORMATS,
        model=sample.model,
    ).write(folder)
    entry = TerminalEntry(
        aud=trust.audience,
        iat=now,
        nonce=new_nonce(),
        terminal_no=sample.terminal_no,
        model=sample.model,
        branch=sample.branch,
        epp_certificate=b64(store.read().certificate),
        device_key=PublicJwk.model_validate(device.public.jwk),
        first=sample.first,
        second=sample.second,
        seq=1,
        valid_until=now + VALID_SECONDS,
    )
    _publish(home, seal_envelope([sign(entry, feed)]), sample.terminal_no)
    return folder


def kdh_thumbprint(home: HomeFolder, *, sm2: bool = False) -> str:
    """SHA-256 of the home's KDH certificate (DER), RSA or SM2, as base64url: what terminals pin.

    Raises:
        HomeError: if the certificate is missing or unreadable.
    """
    return b64url(bytes.fromhex(sha256_hex(_kdh_certificate(home, sm2=sm2))))


def _make_epp(home: HomeFolder, sample: SampleTerminal, folder: Path, now: int) -> EppStore:
    host, pin = _kdh_certificate(home, sm2=sample.sm2), kdh_thumbprint(home, sm2=sample.sm2)
    if sample.sm2:
        return make_sm2_epp(
            folder,
            read_sm2_root(home),
            terminal_no=sample.terminal_no,
            kdh_thumbprint=pin,
            kdh_certificate=host,
            now=now,
        )
    return make_epp(
        folder,
        _root(home),
        terminal_no=sample.terminal_no,
        kdh_thumbprint=pin,
        kdh_certificate=host,
        now=now,
        bits=sample.epp_bits,
    )


def _kdh_certificate(home: HomeFolder, *, sm2: bool) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    path = home.sm2_kdh_certificate if sm2 else home.kdh_certificate
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise HomeError(f"There is no certificate at {path}.") from None
    return certificate.public_bytes(Encoding.DER)


def _root(home: HomeFolder) -> SampleRoot:
    try:
        return SampleRoot.from_pem(
            (home.epp_root / "key.pem").read_bytes(),
            (home.epp_root / "certificate.pem").read_bytes(),
        )
    except (OSError, ValueError):
        raise HomeError(f"There is no sample EPP root in {home.epp_root}.") from None


def _publish(home: HomeFolder, envelope: str, terminal_no: str) -> None:
    """Write the feed file anew, whole, as a back office does."""
    kept = [line for line in _feed_lines(home) if _terminal_of(line) != terminal_no]
    replace(home.feed_file, "".join(f"{line}\n" for line in [*kept, envelope]).encode())


def _feed_lines(home: HomeFolder) -> list[str]:
    try:
        return [line for line in home.feed_file.read_text().splitlines() if line.strip()]
    except FileNotFoundError:
        return []


def _terminal_of(envelope: str) -> str | None:
    payload = peek(envelope_statements(envelope)[0]).payload
    return payload.terminal_no if isinstance(payload, TerminalEntry) else None
