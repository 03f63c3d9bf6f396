"""A release to an SM2 EPP: by `gm-envelope` and SM4, or not at all and before there is a key."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509

from ceremony.reasons import Reason
from keymanagement.checkvalue import key_check_value
from keymanagement.policy import KeyPolicy, KeyRule
from keymanagement.port import KeyAlgorithm
from keymanagement.software import SoftwareKeyManager
from terminal.gm.keytoken import Recipient, open_key_token
from terminal.gm.sm2 import Sm2PrivateKey
from tests.support.certificates import Epp
from tests.support.gmworld import gm_kdh, host_certificate, sm2_epp, sm2_root
from tests.support.keybench import KeyBench, require_refused
from tests.support.keyfakes import KEK, CountingManager
from tests.support.keytokens import sample_kdh
from tests.support.world import World

SM4 = KeyAlgorithm.SM4
GM = {"formats": ("gm-envelope",)}
ALL = {"formats": ("tr34", "oaep-jws", "gm-envelope")}


class GmManager(CountingManager):
    """The counting key manager, with the KDH's SM2 identity."""

    __slots__ = ()

    def __init__(self) -> None:
        """Take the sample KDH in both of its identities."""
        SoftwareKeyManager.__init__(self, KEK, sample_kdh(), gm_kdh())
        self.made = 0


def sm2_world() -> World:
    """A world whose terminal has an SM2 EPP; its root is pinned beside the RSA one."""
    world = World.make()
    trust = json.loads(world.trust_file)
    trust["epp_roots"].append(sm2_root().certificate_pem.decode())
    world.trust_file = json.dumps(trust)
    world.terminal = replace(world.terminal, epp=cast(Epp, sm2_epp("EPP of ATM-0001")))
    world.terminal_envelopes[world.terminal.terminal_no] = world.terminal_entry(world.terminal)
    return world


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeyBench]:
    """A key worker that makes SM4 keys, before a terminal with an SM2 EPP."""
    bench = KeyBench.make(tmp_path, sm2_world())
    bench.manager, bench.policy = GmManager(), KeyPolicy.for_all(SM4)
    yield bench
    bench.close()


def test_an_sm2_epp_gets_an_sm4_key(bench: KeyBench) -> None:
    """The token opens with the EPP's key, and its key has the check value in the journal."""
    case = bench.released(request=ALL)
    token = bench.archive.tokens[-1]
    epp = sm2_epp("EPP of ATM-0001")
    mine = Recipient(
        terminal_no="ATM-0001",
        request_id=case.request_id,
        nonce=bytes.fromhex(case.confirmation.payload.krd_nonce),
        now=bench.world.now,
        certificate=x509.load_der_x509_certificate(epp.certificate),
        private_key=Sm2PrivateKey.read(epp.pair.pkcs8),
    )
    opened = open_key_token(token.value, mine, host_certificate())
    assert key_check_value(SM4, opened.key) == bench.journal.kcv_of(case.request_id)
    assert token.format == "gm-envelope"
    held = bench.journal.key_of(case.request_id)
    assert held is not None and held.algorithm is SM4


def test_a_format_that_its_key_does_not_open_is_never_chosen(bench: KeyBench) -> None:
    """The policy allows `oaep-jws`, the terminal asks for it, and its EPP could not open it."""
    bench.policy = KeyPolicy.for_all(KeyAlgorithm.AES_128)
    case = bench.authorised(request=ALL)
    require_refused(bench, bench.command(case), Reason.FORMAT_UNSUPPORTED)
    assert bench.manager.made == 0


def test_an_rsa_epp_gets_no_sm4_key(tmp_path: Path) -> None:
    """Even if its terminal asks for `gm-envelope`: refused before a key is made."""
    bench = KeyBench.make(tmp_path)
    bench.manager, bench.policy = GmManager(), KeyPolicy(KeyRule(SM4, formats=("gm-envelope",)), {})
    case = bench.authorised(request=GM)
    require_refused(bench, bench.command(case), Reason.FORMAT_UNSUPPORTED)
    assert bench.manager.made == 0
    bench.close()
