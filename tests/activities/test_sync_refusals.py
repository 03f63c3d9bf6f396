"""Rows that a synchronisation refuses: each for its reason, and none stops the rest."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ceremony.reasons import Reason
from ceremony.registry import seal_envelope
from tests.support.backoffice import NEW, ONE, TWO, Office, fresh
from tests.support.certificates import Authority, Epp, rsa_key, sample_authority, sample_epp
from tests.support.identities import jwk_signer, signing_key


def weak_epp() -> Epp:
    """An EPP with RSA-1024."""
    key = rsa_key("weak", 1024)
    return Epp(key, sample_authority().issue(key.public_key()))


def foreign_epp(**issued: Any) -> Epp:
    """An EPP certified by a root that nobody trusts, or differently."""
    key = rsa_key("EPP of the refused")
    authority = issued.pop("by", None) or Authority.make("Foreign Root")
    return Epp(key, authority.issue(key.public_key(), **issued))


def certified_anew(epp: Epp) -> Epp:
    """The same EPP key in a second certificate."""
    return Epp(epp.private_key, sample_authority().issue(epp.private_key.public_key()))


def expired_epp() -> Epp:
    """An EPP whose certificate has expired."""
    return foreign_epp(by=sample_authority(), not_after=datetime(2026, 1, 1, tzinfo=UTC))


def entry_of(epp: Callable[[], Epp]) -> Callable[[Office], str]:
    """An entry of the new terminal with this EPP."""
    return lambda office: office.entry(replace(fresh(NEW), epp=epp()))


def new_entry(**fields: Any) -> Callable[[Office], str]:
    """An entry of the new terminal, bent."""
    return lambda office: office.entry(fresh(NEW, "EPP of the refused"), **fields)


REFUSED: dict[str, tuple[Reason, Callable[[Office], str]]] = {
    "unsigned": (Reason.UNSIGNED, lambda o: seal_envelope([])),
    "not an envelope": (Reason.MALFORMED, lambda o: "garbage"),
    "not even text": (Reason.MALFORMED, lambda o: "\ud800"),
    "nested too deeply": (Reason.MALFORMED, lambda o: '{"statements":' + "[" * 10_000),
    "garbage signed": (Reason.MALFORMED, lambda o: seal_envelope(["a.b.c"])),
    "enormous": (Reason.MALFORMED, lambda o: "x" * 10_000_000),
    "by an unknown key": (
        Reason.WRONG_SIGNER,
        new_entry(signers=(signing_key("a stranger's feed"),)),
    ),
    "by officers only": (
        Reason.WRONG_SIGNER,
        new_entry(signers=(signing_key("officer 0"), signing_key("officer 1"))),
    ),
    "a credential entry": (
        Reason.WRONG_TYPE,
        lambda o: o.world.credential_entry(o.world.third),
    ),
    "for another deployment": (Reason.WRONG_AUDIENCE, new_entry(aud="elsewhere")),
    "expired": (Reason.ENTRY_EXPIRED, new_entry(valid_until=1_800_000_000)),
    "one person twice": (Reason.SAME_PERSON, new_entry(second="person-1")),
    "no certificate": (Reason.EPP_CERTIFICATE_MALFORMED, new_entry(epp_certificate="AAAA")),
    "not base64": (Reason.EPP_CERTIFICATE_MALFORMED, new_entry(epp_certificate="!")),
    "EPP of an unknown root": (Reason.EPP_CERTIFICATE_UNTRUSTED, entry_of(foreign_epp)),
    "EPP expired": (Reason.EPP_CERTIFICATE_EXPIRED, entry_of(expired_epp)),
    "EPP too weak": (Reason.EPP_KEY_WEAK, entry_of(weak_epp)),
    "another terminal's EPP": (
        Reason.FOREIGN_EPP_KEY,
        lambda o: o.entry(replace(fresh(NEW), epp=o.world.other.epp)),
    ),
    "another terminal's EPP, certified anew": (
        Reason.FOREIGN_EPP_KEY,
        lambda o: o.entry(replace(fresh(NEW), epp=certified_anew(o.world.other.epp))),
    ),
    "another terminal's device": (
        Reason.FOREIGN_DEVICE_KEY,
        lambda o: o.entry(replace(fresh(NEW, "EPP of the refused"), device=o.world.other.device)),
    ),
    "a lower seq": (Reason.SEQ_LOWERED, lambda o: o.entry(o.world.terminal, seq=0)),
    "another entry of its seq": (
        Reason.SEQ_LOWERED,
        lambda o: o.entry(o.world.terminal, branch="Elsewhere"),
    ),
    "a changed EPP without an officer": (
        Reason.OFFICER_REQUIRED,
        lambda o: o.entry(replace(o.world.terminal, epp=sample_epp("EPP of the refused")), seq=2),
    ),
    "a changed device without an officer": (
        Reason.OFFICER_REQUIRED,
        lambda o: o.entry(replace(o.world.terminal, device=jwk_signer("new device")), seq=2),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_bad_row_is_refused_and_never_stops_the_rest(office: Office, name: str) -> None:
    """The bad row is named with its reason; a good one before and one after it are applied."""
    reason, make = REFUSED[name]
    bad = make(office)
    good = office.entry(fresh("ATM-0101", "EPP of a good one"))
    changed = office.entry(office.world.other, seq=2)
    # The first terminal keeps its entry although its row is the bad one, or is missing here.
    mine = [] if office.world.terminal_envelopes[ONE] == bad else [office.feed.envelopes[0]]
    about_known = name.startswith(("a lower", "another entry of", "a changed"))
    rows = [good, bad, *([] if about_known else mine), changed]
    office.feed.envelopes[:] = rows
    report = office.run()
    assert [(one.position, one.reason) for one in report.refused] == [("line 2", reason)]
    assert (report.added, report.changed, report.removed, report.stopped) == (1, 1, 0, None)
    first, second = office.current(ONE), office.current(TWO)
    assert first is not None
    assert second is not None
    assert (first.seq, second.seq) == (1, 2)
    assert office.current(NEW) is None
