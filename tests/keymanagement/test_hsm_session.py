"""The connection to a token: one login, and what becomes of it when the module fails."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pkcs11
import pytest

from keymanagement.pkcs11 import softhsm
from keymanagement.pkcs11.faults import (
    HsmKeyInvalid,
    HsmUnavailable,
    ModuleMissing,
    PinRefused,
    TokenMissing,
)
from keymanagement.pkcs11.module import Pkcs11Module
from keymanagement.pkcs11.officer import trust_terminals
from keymanagement.pkcs11.session import HsmConnection, TokenAccess
from keymanagement.port import HostCopyInvalid, KeyAlgorithm
from tests.support.certificates import sample_epp
from tests.support.hsmbench import HsmBench, binding_of, public_key, token_of

AES = KeyAlgorithm.AES_128


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HsmBench]:
    """A token of SoftHSM that this process sees alone."""
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    made = HsmBench.softhsm(tmp_path)
    yield made
    made.connect().close()


def module_of(bench: HsmBench) -> Pkcs11Module:
    """The module of a bench."""
    return Pkcs11Module.load(str(bench.access.module))


def works(connection: HsmConnection) -> bool:
    """Whether a private object can be made in a session."""

    def make(session: pkcs11.Session) -> bool:
        key = session.generate_key(pkcs11.KeyType.AES, 128)
        key.destroy()
        return True

    return connection.run(make)


def change_pin(bench: HsmBench, old: str, new: str) -> None:
    """Change the user's PIN, in a session of its own."""
    bench.connect().run(lambda session: session.set_pin(old, new))


def test_a_wrong_pin_is_tried_once(bench: HsmBench) -> None:
    """A connection whose PIN was refused never gives it again, though it were right by now."""
    connection = bench.connect()
    right = bench.access.pin
    change_pin(bench, right, "87654321")
    connection.close()
    with pytest.raises(PinRefused):
        works(connection)
    other = HsmConnection(replace(bench.access, pin="87654321"))
    other.run(lambda session: session.set_pin("87654321", right))
    other.close()
    with pytest.raises(PinRefused, match="before"):
        works(connection)
    assert works(bench.connect())


def test_no_message_holds_the_pin(bench: HsmBench) -> None:
    """Neither the settings of a token nor the refusal of a PIN shows it."""
    wrong = replace(bench.access, pin="13579246")
    with pytest.raises(PinRefused) as refused:
        HsmConnection(wrong)
    assert "13579246" not in repr(wrong) + str(refused.value) + repr(refused.value.__context__)
    with pytest.raises(PinRefused) as refused:
        trust_terminals(bench.access.module, bench.access.token, "13579246", [])
    assert "13579246" not in str(refused.value)


def test_a_module_or_token_that_is_not_there_is_named(bench: HsmBench) -> None:
    """Each is an error of its own; the token's label and the module's path are in it."""
    with pytest.raises(ModuleMissing, match="nowhere"):
        HsmConnection(TokenAccess(Path("/nowhere/module.so"), "keyfill", "1234"))
    with pytest.raises(ModuleMissing):
        HsmConnection(TokenAccess(Path("/proc/self/exe"), "keyfill", "1234"))
    with pytest.raises(TokenMissing, match="another"):
        HsmConnection(replace(bench.access, token="another"))


def test_work_goes_on_after_the_module_was_started_anew(bench: HsmBench) -> None:
    """Sessions closed underneath, or the whole module finalised: the same call comes through."""
    manager = bench.manager()
    created = manager.create(AES, binding_of(1))
    module = module_of(bench)

    def close_all(session: pkcs11.Session) -> None:
        session.close()

    generation = module.generation
    module._functions.finalize(None)
    assert manager.kcv(created.block, AES, binding_of(1)) == created.kcv
    assert module.generation == generation + 1
    token_of(manager, created, AES, binding_of(1))
    bench.connection.run(close_all)
    assert manager.kcv(created.block, AES, binding_of(1)) == created.kcv
    module.restart(module.generation)
    assert manager.kcv(created.block, AES, binding_of(1)) == created.kcv


def test_work_goes_on_after_somebody_logged_out(bench: HsmBench) -> None:
    """Logged out, a process finds no private key and gets no error: that is not "no such key"."""
    manager = bench.manager()
    created = manager.create(AES, binding_of(1))
    token_of(manager, created, AES, binding_of(1))
    for act in (
        lambda: manager.kcv(created.block, AES, binding_of(1)),
        lambda: bench.kdh.sign(b"anything"),
        lambda: manager.create(AES, binding_of(1)).block == created.block or pytest.fail("two"),
    ):
        assert bench.connection._keeper is not None
        bench.connection._keeper.close()
        assert act()


def test_a_module_that_fails_twice_is_unavailable(bench: HsmBench) -> None:
    """Work is tried a second time, in a new session, and not a third."""
    connection = bench.connect()
    seen = []

    def fail(session: pkcs11.Session) -> None:
        seen.append(id(session))
        raise pkcs11.DeviceError

    with pytest.raises(HsmUnavailable, match="DeviceError"):
        connection.run(fail)
    assert len(seen) == 2
    assert works(connection)


def test_a_refusal_is_not_repeated(bench: HsmBench) -> None:
    """What the module refuses by a rule it is asked once, and the session serves on."""
    connection = bench.connect()
    generation, tries = module_of(bench).generation, []

    def ask(session: pkcs11.Session) -> None:
        tries.append(id(session))
        raise pkcs11.MechanismInvalid

    with pytest.raises(HsmUnavailable, match="MechanismInvalid"):
        connection.run(ask)
    assert len(tries) == 1
    assert works(connection)
    assert module_of(bench).generation == generation


def test_a_token_initialised_anew_serves_nobody_by_mistake(bench: HsmBench) -> None:
    """Its keys are gone, and each is missed by a typed error; nothing is made in its place."""
    manager = bench.manager()
    created = manager.create(AES, binding_of(1))
    util = ["softhsm2-util", "--delete-token", "--token", bench.access.token]
    subprocess.run(util, check=True, capture_output=True)
    token = softhsm.SoftToken(
        bench.access.module, bench.access.token, bench.access.pin, bench.so_pin
    )
    softhsm.make_token(bench.conf, token)
    module = module_of(bench)
    module.restart(module.generation)
    with pytest.raises(HostCopyInvalid):
        manager.kcv(created.block, AES, binding_of(1))
    with pytest.raises(HsmKeyInvalid, match="0 keys"):
        bench.kdh.sign(b"anything")


def test_the_officer_trusts_a_key_once(bench: HsmBench) -> None:
    """Trusted again, a key is known: the count says how many were new."""
    epps = [sample_epp("strength"), sample_epp("other")]
    assert bench.trust(*epps) == 2
    assert bench.trust(*epps) == 0
    found = bench.connect().run(
        lambda session: [
            one[pkcs11.Attribute.LABEL]
            for one in session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY})
        ]
    )
    assert sorted(found) == sorted(one.fingerprint for one in epps)
    assert public_key(epps[0]) != public_key(epps[1])


def test_softhsm_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what to install."""
    monkeypatch.setattr(softhsm, "MODULES", ())
    with pytest.raises(ModuleMissing, match="apt install softhsm2"):
        softhsm.find_module()
