"""Rotating the KDH: a terminal takes two KDHs' tokens for a while, and never a third's."""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from typer.testing import CliRunner, Result

from ceremony.stages import Stage
from keymanagement.kdh import KdhIdentity, make_development_kdh
from keymanagement.port import KeyAlgorithm
from keymanagement.tr34.header import KeyBlockHeader
from keymanagement.tr34.keytoken import TwoPass, compose
from terminal.command import app
from terminal.device import make_device_key
from terminal.epperrors import EppCode, EppError
from terminal.eppstore import EppStore
from terminal.hosts import beside, succeeded
from terminal.profile import TerminalProfile
from tests.support.certificates import rsa_key, sample_epp
from tests.support.eppbench import TERMINAL_NO, Bench, new_memory
from tests.support.keytokens import NOW, TokenForge, certificate_like_a_kdhs, sample_kdh
from tests.support.terminalbench import TerminalBench
from tests.support.terminalserver import AUDIENCE, FakeKeyfill, living_kdh

FORMATS = ["oaep-jws", "tr34"]
NEXT = "the next KDH"
ROGUE = "a rogue KDH"
DAY = 86_400


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An EPP that pins one KDH and knows its certificate."""
    return Bench.make(tmp_path / "epp", kdh_certificate=sample_kdh().certificate_der)


def take(bench: Bench, kdh: KdhIdentity, token_format: str) -> None:
    """Import a new key in a token of this KDH's, for another request each time."""
    request_id = os.urandom(18).hex()[:24]
    if token_format == "oaep-jws":
        token = TokenForge(kdh).token(bench.payload(request_id=request_id))
    else:
        krd = x509.load_der_x509_certificate(bench.keys.certificate)
        header = KeyBlockHeader(KeyAlgorithm.AES_128)
        nonce = TwoPass(bench.epp.start_key_exchange())
        token = compose(os.urandom(16), header, krd, kdh, nonce)
    bench.epp.import_key_token(token, request_id=request_id, token_format=token_format)


def refuses(bench: Bench, kdh: KdhIdentity, token_format: str) -> None:
    """The EPP takes no token of this KDH's: another signed it."""
    with pytest.raises(EppError) as refused:
        take(bench, kdh, token_format)
    assert refused.value.code is EppCode.SIGNATURE_INVALID


@pytest.mark.parametrize("token_format", FORMATS)
def test_two_kdhs_are_accepted_between_the_steps_and_one_at_each_end(
    bench: Bench, token_format: str
) -> None:
    """Before: the present KDH only. In between: both. After: the next one only. A third: never."""
    present, following, rogue = sample_kdh(), sample_kdh(NEXT), sample_kdh(ROGUE)
    take(bench, present, token_format)
    for stranger in (following, rogue):
        refuses(bench, stranger, token_format)
    bench.epp.load_certificate(following.certificate_der)
    for _ in range(2):
        take(bench, present, token_format)
        take(bench, following, token_format)
        refuses(bench, rogue, token_format)
        bench.restart()
    assert bench.epp.host_certificates() == (present.certificate_der, following.certificate_der)
    bench.epp.replace_certificate()
    take(bench, following, token_format)
    for stranger in (present, rogue):
        refuses(bench, stranger, token_format)
    assert bench.epp.host_certificates() == (following.certificate_der,)


@pytest.mark.parametrize("token_format", FORMATS)
def test_the_next_kdh_goes_on_after_the_present_one_expired(
    bench: Bench, token_format: str
) -> None:
    """A terminal that was reached late for the second step is not cut off by the first's end."""
    files = make_development_kdh(now=NOW - 60, days=1_000)
    longer = KdhIdentity.from_pem(files.key_pem, files.certificate_pem, now=NOW)
    bench.epp.load_certificate(longer.certificate_der)
    bench.clock.now = NOW + 800 * DAY
    if token_format == "oaep-jws":
        claims = bench.payload(iat=bench.clock.now, exp=bench.clock.now + DAY)
        token = TokenForge(longer).token(claims)
        bench.epp.import_key_token(token, request_id=claims["request_id"])
    else:
        take(bench, longer, token_format)
    with pytest.raises(EppError) as refused:
        take(bench, sample_kdh(), token_format)
    assert refused.value.code is EppCode.INVALID_CERT_STATE


def test_what_is_wrong_with_the_present_kdhs_token_is_wrong_for_good(bench: Bench) -> None:
    """Only another signer makes the EPP look at the second KDH: a nonce is not tried twice."""
    bench.epp.load_certificate(sample_kdh(NEXT).certificate_der)
    token = TokenForge(sample_kdh()).token(bench.payload(krd_nonce="00" * 16))
    with pytest.raises(EppError) as refused:
        bench.epp.import_key_token(token, request_id="A" * 24)
    assert refused.value.code is EppCode.RANDOM_INVALID


def test_no_certificate_but_a_valid_kdhs_is_accepted_beside(bench: Bench) -> None:
    """Not the EPP's own, a server's, an expired one, the present one again, or a third one."""
    server = certificate_like_a_kdhs(
        rsa_key("a server"), purposes=[ExtendedKeyUsageOID.SERVER_AUTH]
    )
    files = make_development_kdh(now=NOW - 10 * DAY, days=9)
    for wrong in (
        b"",
        b"no certificate",
        bench.keys.certificate,
        ssl.PEM_cert_to_DER_cert(server.decode()),
        ssl.PEM_cert_to_DER_cert(files.certificate_pem.decode()),
        sample_kdh().certificate_der,
    ):
        before = bench.sealed()
        with pytest.raises(EppError) as refused:
            bench.epp.load_certificate(wrong)
        assert refused.value.code is EppCode.INVALID_CERT_STATE
        assert bench.sealed() == before
    bench.epp.load_certificate(sample_kdh(NEXT).certificate_der)
    bench.epp.load_certificate(sample_kdh(NEXT).certificate_der)
    with pytest.raises(EppError):
        bench.epp.load_certificate(sample_kdh(ROGUE).certificate_der)
    assert bench.epp.host_certificates()[1:] == (sample_kdh(NEXT).certificate_der,)


def test_an_epp_that_pins_nobody_accepts_nobody_beside(bench: Bench) -> None:
    """A first KDH is the maker's or the technician's to pin; and nothing succeeds nothing."""
    memory = new_memory(bench.keys, kdh_thumbprint=None)
    with pytest.raises(EppError) as refused:
        beside(memory, sample_kdh().certificate_der, now=NOW)
    assert refused.value.code is EppCode.INVALID_CERT_STATE
    assert succeeded(memory) is None
    with pytest.raises(EppError):
        bench.epp.replace_certificate()


@pytest.fixture
def terminal(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TerminalBench]:
    """A terminal that pins the present KDH, and a server that answers in one format."""
    folder, keys, present = tmp_path / "terminal", sample_epp("bench", 2048), living_kdh()
    device = make_device_key(folder)
    memory = new_memory(
        keys, kdh_thumbprint=present.thumbprint, kdh_certificate=present.certificate_der
    )
    EppStore.create(folder / "epp", memory)
    TerminalProfile(
        terminal_no=TERMINAL_NO,
        audience=AUDIENCE,
        kdh_thumbprint=present.thumbprint,
        formats=tuple(FORMATS),
    ).write(folder)
    with FakeKeyfill(
        epp=keys,
        device=device.public,
        terminal_no=TERMINAL_NO,
        kdh=living_kdh(NEXT),
        token_format=request.param,
    ) as server:
        bench = TerminalBench(folder, server)
        yield bench
        bench.close()


def pin(bench: TerminalBench, *arguments: str) -> Result:
    """Run `keyfill-terminal pin`."""
    return CliRunner().invoke(app, ["pin", "--folder", str(bench.folder), *arguments])


def pin_next(bench: TerminalBench, told: str | None = None) -> Result:
    """Pin the next KDH, its thumbprint told right unless bent."""
    file = bench.folder.parent / "next.pem"
    file.write_text(ssl.DER_cert_to_PEM_cert(living_kdh(NEXT).certificate_der))
    thumbprint = living_kdh(NEXT).thumbprint if told is None else told
    return pin(bench, "--certificate", str(file), "--thumbprint", thumbprint)


@pytest.mark.parametrize("terminal", FORMATS, indirect=True)
def test_a_terminal_loads_from_the_next_kdh_once_it_pins_it(terminal: TerminalBench) -> None:
    """A whole load, between the two steps; before, the terminal would refuse the token."""
    assert pin_next(terminal).exit_code == 0
    ending = terminal.load()
    assert (ending.stage, ending.kcv) == (Stage.LOADED, terminal.server.kcv)


@pytest.mark.parametrize("terminal", FORMATS, indirect=True)
def test_a_terminal_loads_from_the_next_kdh_alone(terminal: TerminalBench) -> None:
    """After the second step the former KDH is pinned neither in the EPP nor in the profile."""
    assert pin_next(terminal).exit_code == 0
    assert pin(terminal, "--drop-former").stdout.split() == [living_kdh(NEXT).thumbprint]
    assert TerminalProfile.read(terminal.folder).pins == (living_kdh(NEXT).thumbprint,)
    held = EppStore(terminal.folder / "epp").read()
    assert (held.kdh_certificate, held.kdh_next_certificate) == (
        living_kdh(NEXT).certificate_der,
        None,
    )
    assert terminal.load().stage is Stage.LOADED


@pytest.mark.parametrize("terminal", FORMATS, indirect=True)
def test_without_the_pin_the_next_kdhs_token_is_refused(terminal: TerminalBench) -> None:
    """The terminal says so in its receipt, and has no key."""
    ending = terminal.load()
    assert (ending.stage, ending.kcv) == (Stage.UNCONFIRMED, None)


@pytest.mark.parametrize("terminal", FORMATS, indirect=True)
def test_an_epp_that_pins_more_than_its_terminal_is_refused(terminal: TerminalBench) -> None:
    """The terminal's own pins count, should somebody have reached the EPP alone."""
    terminal.terminal().epp.load_certificate(living_kdh(NEXT).certificate_der)
    ending = terminal.load()
    assert (ending.stage, ending.kcv) == (Stage.UNCONFIRMED, None)


@pytest.mark.parametrize("terminal", FORMATS[:1], indirect=True)
def test_a_thumbprint_that_was_told_otherwise_pins_nothing(terminal: TerminalBench) -> None:
    """The certificate may have been swapped on its way; nothing changes, and 2 is the exit code."""
    for told in ("", living_kdh().thumbprint, "é"):
        assert pin_next(terminal, told).exit_code == 2
    for arguments in ((), ("--drop-former",), ("--certificate", "nowhere", "--drop-former")):
        assert pin(terminal, *arguments).exit_code == 2
    assert pin(terminal, "--certificate", "nowhere").exit_code == 2
    assert TerminalProfile.read(terminal.folder).pins == (living_kdh().thumbprint,)
    assert terminal.terminal().epp.host_certificates() == (living_kdh().certificate_der,)


@pytest.mark.parametrize("terminal", FORMATS[:1], indirect=True)
def test_a_step_that_a_power_cut_interrupted_is_finished_by_the_same_step(
    terminal: TerminalBench,
) -> None:
    """The EPP changes first, then the profile; in between no token of either side is lost."""
    epp = terminal.terminal().epp
    epp.load_certificate(living_kdh(NEXT).certificate_der)
    assert pin_next(terminal).exit_code == 0
    epp.replace_certificate()
    assert pin(terminal, "--drop-former").exit_code == 0
    assert TerminalProfile.read(terminal.folder).pins == (living_kdh(NEXT).thumbprint,)
