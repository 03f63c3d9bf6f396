"""The EPP's memory: sealed, its owner's only, and whole after whatever interrupts a change."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.epp import Epp
from terminal.epperrors import EppCode, EppError
from terminal.eppstore import EppStore, EppStoreError
from tests.support.eppbench import REQUEST, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A new EPP."""
    return Bench.make(tmp_path / "epp")


def test_every_file_is_its_owners_only(bench: Bench) -> None:
    """Sealed memory, storage key and lock have mode 0600, before and after a change."""
    bench.epp.import_key_token(bench.token(), request_id=REQUEST)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in bench.folder.iterdir()}
    assert modes == {"epp.sealed": 0o600, "epp.storage-key": 0o600, "epp.lock": 0o600}
    assert stat.S_IMODE(bench.folder.stat().st_mode) == 0o700


def test_the_key_is_not_in_the_file(bench: Bench) -> None:
    """Neither the TMK nor the private key can be read from the sealed file."""
    key = os.urandom(16)
    bench.epp.import_key_token(bench.token(key), request_id=REQUEST)
    sealed = bench.sealed()
    assert key not in sealed
    assert EppStore(bench.folder).read().private_key[:64] not in sealed
    assert REQUEST.encode() not in sealed


def test_the_memory_does_not_print_its_keys(bench: Bench) -> None:
    """The memory's repr shows neither private key nor TMK."""
    key = os.urandom(16)
    bench.epp.import_key_token(bench.token(key), request_id=REQUEST)
    memory = EppStore(bench.folder).read()
    assert repr(key) not in repr(memory)
    assert "private_key" not in repr(memory)


def test_any_bit_flipped_in_the_memory_is_noticed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A changed file is damaged memory, not another memory."""
    bench = Bench.make(tmp_path_factory.mktemp("memory") / "epp")
    sealed = bench.sealed()

    @given(st.integers(0, 8 * len(sealed) - 1))
    def flip(bit: int) -> None:
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        (bench.folder / "epp.sealed").write_bytes(flipped)
        with pytest.raises(EppStoreError, match="damaged"):
            bench.restart()

    flip()


@pytest.mark.parametrize("name", ["epp.sealed", "epp.storage-key"])
def test_a_missing_file_is_a_missing_epp(bench: Bench, name: str) -> None:
    """Without its memory or its storage key there is no EPP."""
    (bench.folder / name).unlink()
    with pytest.raises(EppStoreError, match="no EPP"):
        bench.restart()


def test_another_storage_key_opens_nothing(bench: Bench) -> None:
    """The sealed file beside another storage key is damaged memory."""
    (bench.folder / "epp.storage-key").write_bytes(bytes(32))
    with pytest.raises(EppStoreError, match="damaged"):
        bench.restart()


def test_an_epp_is_not_made_over_another(bench: Bench) -> None:
    """Making an EPP where there is one would lose its keys: it is refused."""
    before = bench.sealed()
    with pytest.raises(EppStoreError):
        EppStore.create(bench.folder, EppStore(bench.folder).read())
    assert bench.sealed() == before


def test_a_power_cut_during_the_write_leaves_the_old_memory(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before the new file is in place: the old key still works, the nonce is gone."""
    bench.epp.import_key_token(bench.token(), request_id=REQUEST)
    before = bench.epp.generate_kcv()
    token = bench.token(request_id="B" * 24)

    def cut(self: Path, target: Path) -> Path:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut)
        with pytest.raises(EppStoreError, match="written"):
            bench.epp.import_key_token(token, request_id="B" * 24)
    with pytest.raises(EppError) as caught:
        bench.epp.import_key_token(token, request_id="B" * 24)
    assert caught.value.code is EppCode.RANDOM_INVALID
    assert bench.restart().generate_kcv() == before
    bench.epp.import_key_token(bench.token(request_id="B" * 24), request_id="B" * 24)


def test_two_programs_do_not_lose_each_others_keys(bench: Bench) -> None:
    """Two EPP objects on one memory load at once; both keys are in."""
    second = Epp(EppStore(bench.folder), clock=bench.clock)
    loads = []
    for epp, name in ((bench.epp, "B"), (second, "C")):
        bench.epp = epp
        loads.append((epp, bench.token(request_id=name * 24), name))
    with ThreadPoolExecutor(2) as pool:
        for done in [
            pool.submit(epp.import_key_token, token, request_id=name * 24, key=name)
            for epp, token, name in loads
        ]:
            done.result()
    assert {detail.key for detail in bench.epp.get_key_detail()} == {"B", "C"}


def test_delete_key_forgets_one_key(bench: Bench) -> None:
    """DeleteKey removes the named key, for good; another name is keyNotFound."""
    bench.epp.import_key_token(bench.token(), request_id=REQUEST)
    bench.epp.delete_key("TMK")
    assert bench.restart().get_key_detail() == ()
    for ask in (bench.epp.delete_key, bench.epp.generate_kcv, bench.epp.get_key_detail):
        with pytest.raises(EppError) as caught:
            ask("TMK")
        assert caught.value.code is EppCode.KEY_NOT_FOUND


def test_get_certificate_gives_the_encryption_certificate(bench: Bench) -> None:
    """GetCertificate answers enckey with the certificate; the EPP has no other."""
    assert bench.epp.get_certificate() == bench.keys.certificate
    assert bench.epp.fingerprint == bench.keys.fingerprint
    with pytest.raises(EppError) as caught:
        bench.epp.get_certificate("verificationkey")
    assert caught.value.code is EppCode.ACCESS_DENIED
