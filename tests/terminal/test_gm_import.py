"""ImportKeyToken with `gm-envelope`: what an SM2 EPP takes, and each way that it does not."""

from pathlib import Path
from typing import Any

import pytest

from keymanagement.gm.identity import GmIdentity, make_development_gm_kdh
from terminal.epp import HOST_KEY, Epp
from terminal.epperrors import EppCode, EppError
from terminal.eppstore import EppStore
from tests.support.certificates import sample_epp
from tests.support.eppbench import REQUEST, TERMINAL_NO, Clock, new_memory
from tests.support.gmworld import (
    KCV,
    KEY,
    forged,
    gm_kdh,
    gm_memory,
    gm_terms,
    gm_token,
    sm2_epp,
)
from tests.support.keytokens import NOW, sample_kdh

OTHER_KEY = bytes(range(16))
DAY = 86_400


def switched_on(folder: Path, **changes: Any) -> Epp:
    """An SM2 EPP whose memory is right but for the changes."""
    memory = gm_memory(**{"terminal_no": TERMINAL_NO, **changes})
    return Epp(EppStore.create(folder / "epp", memory), clock=Clock())


@pytest.fixture
def epp(tmp_path: Path) -> Epp:
    """An SM2 EPP that pins the KDH and knows its certificate."""
    return switched_on(tmp_path)


def token(epp: Epp, key: bytes = KEY, *, nonce: bytes | None = None, **changes: Any) -> bytes:
    """A token for a new nonce, right but for the changes."""
    fresh = epp.start_key_exchange() if nonce is None else nonce
    said = {"terminal_no": TERMINAL_NO, "request_id": REQUEST, "krd_nonce": fresh.hex(), **changes}
    return gm_token(gm_terms(**said), key)


def refused(
    epp: Epp, made: bytes, *, request_id: str = REQUEST, as_what: str = "gm-envelope"
) -> EppCode:
    """The code with which the EPP refuses a token; its keys are as before."""
    before = epp.get_key_detail()
    with pytest.raises(EppError) as caught:
        epp.import_key_token(made, request_id=request_id, token_format=as_what)
    assert epp.get_key_detail() == before
    return caught.value.code


def test_a_right_token_is_loaded(epp: Epp) -> None:
    """The key is in under its name, with SM4's check value, its usage and request."""
    imported = epp.import_key_token(token(epp), request_id=REQUEST, token_format="gm-envelope")
    assert (imported.key_check_value, imported.key_length) == (KCV, 128)
    (detail,) = epp.get_key_detail()
    assert (detail.key_usage, detail.algorithm, detail.request_id) == ("K1", "SM4", REQUEST)
    assert epp.generate_kcv().key_check_value == KCV
    assert epp.get_certificate(HOST_KEY) == gm_kdh().certificate_der


def test_a_nonce_answers_once(epp: Epp) -> None:
    """Neither the same token again nor another for the same nonce is taken after the import."""
    nonce = epp.start_key_exchange()
    made = token(epp, nonce=nonce)
    epp.import_key_token(made, request_id=REQUEST, token_format="gm-envelope")
    assert refused(epp, made) is EppCode.RANDOM_INVALID
    again = token(epp, OTHER_KEY, nonce=nonce, request_id="B" * 24)
    assert refused(epp, again, request_id="B" * 24) is EppCode.RANDOM_INVALID


def test_the_outstanding_nonce_is_the_one(epp: Epp, tmp_path: Path) -> None:
    """No nonce, a newer one, or a restart: randomInvalid."""
    assert refused(epp, token(epp, nonce=bytes(16))) is EppCode.RANDOM_INVALID
    older = token(epp)
    epp.start_key_exchange()
    assert refused(epp, older) is EppCode.RANDOM_INVALID
    last = token(epp)
    assert refused(Epp(EppStore(tmp_path / "epp"), clock=Clock()), last) is EppCode.RANDOM_INVALID


def test_a_token_for_somebody_else_is_refused(epp: Epp) -> None:
    """Another terminal's, another request's, another EPP's, one that is over: contentInvalid."""
    for changes in ({"terminal_no": "ATM-0009"}, {"request_id": "C" * 24}, {"expires_at": 1}):
        assert refused(epp, token(epp, **changes)) is EppCode.CONTENT_INVALID
    other, nonce = sm2_epp("other EPP"), epp.start_key_exchange().hex()
    terms = gm_terms(other, terminal_no=TERMINAL_NO, request_id=REQUEST, krd_nonce=nonce)
    assert refused(epp, gm_token(terms, epp=other)) is EppCode.CONTENT_INVALID


def test_another_kdhs_token_is_refused(epp: Epp) -> None:
    """Only the pinned KDH's signature counts."""
    epp.start_key_exchange()
    assert refused(epp, forged(signer="other KDH")) is EppCode.SIGNATURE_INVALID


def test_the_pinned_certificate_must_be_at_hand(tmp_path: Path) -> None:
    """Without a pin, without the certificate, or with another than is pinned: invalidCertState."""
    bent: tuple[dict[str, Any], ...] = (
        {"kdh_thumbprint": None},
        {"kdh_certificate": None},
        {"kdh_certificate": gm_kdh("other KDH").certificate_der},
        {
            "kdh_certificate": sample_kdh().certificate_der,
            "kdh_thumbprint": sample_kdh().thumbprint,
        },
    )
    for number, changes in enumerate(bent):
        epp = switched_on(tmp_path / str(number), **changes)
        assert refused(epp, token(epp)) is EppCode.INVALID_CERT_STATE


def test_an_epp_opens_the_formats_of_its_key_only(epp: Epp, tmp_path: Path) -> None:
    """An RSA EPP has no key for `gm-envelope`, an SM2 EPP none for `tr34`."""
    assert refused(epp, token(epp), as_what="tr34") is EppCode.ACCESS_DENIED
    memory = new_memory(
        sample_epp("bench", 2048),
        kdh_thumbprint=gm_kdh().thumbprint,
        kdh_certificate=gm_kdh().certificate_der,
    )
    rsa = Epp(EppStore.create(tmp_path / "rsa", memory), clock=Clock())
    assert refused(rsa, token(rsa)) is EppCode.ACCESS_DENIED


def test_the_same_key_is_not_loaded_twice(epp: Epp) -> None:
    """As with every other format."""
    epp.import_key_token(token(epp), request_id=REQUEST, token_format="gm-envelope")
    again = token(epp, request_id="D" * 24)
    assert refused(epp, again, request_id="D" * 24) is EppCode.DUPLICATE_KEY


def test_the_next_kdh_goes_on_after_the_present_one_expired(tmp_path: Path) -> None:
    """A terminal that was reached late for the second step is not cut off by the first's end."""
    began = NOW - 800 * DAY
    files = make_development_gm_kdh(now=began, days=100)
    former = GmIdentity.from_pem(files.key_pem, files.certificate_pem, now=began + DAY)
    pins = {"kdh_thumbprint": former.thumbprint, "kdh_certificate": former.certificate_der}
    for following in (None, gm_kdh().certificate_der):
        folder = tmp_path / str(following is None)
        folder.mkdir()
        epp = switched_on(folder, **pins, kdh_next_certificate=following)
        if following is None:
            with pytest.raises(EppError) as refused:
                epp.import_key_token(token(epp), request_id=REQUEST, token_format="gm-envelope")
            assert refused.value.code is EppCode.SIGNATURE_INVALID
        else:
            taken = epp.import_key_token(token(epp), request_id=REQUEST, token_format="gm-envelope")
            assert taken.key_check_value == KCV
