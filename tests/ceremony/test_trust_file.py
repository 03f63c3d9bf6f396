"""The trust file is read strictly: what a deployment believes must be beyond doubt."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from ceremony.encoding import b64url, from_b64url
from ceremony.keys import PublicKey
from ceremony.trust import Trust, TrustError
from tests.support.certificates import sample_authority
from tests.support.identities import ORIGIN, RP_ID, signing_key, trust_text
from tests.support.world import World

FEED = signing_key("feed")
OFFICERS = tuple(signing_key(f"officer {n}") for n in range(3))
TEXT = trust_text(FEED, OFFICERS)


def _bent(**changes: Any) -> str:
    document = {**json.loads(TEXT), **changes}
    return json.dumps({name: value for name, value in document.items() if value != "absent"})


def _officers(*keys: Any) -> list[dict[str, Any]]:
    return [{"name": f"Officer {n}", "key": key} for n, key in enumerate(keys)]


def test_a_trust_file_reads() -> None:
    """Keys, officers, roots and names are there, and passkeys get their one exact origin."""
    trust = Trust.read(TEXT)
    assert [one.public_key.kid for one in trust.feed] == [FEED.kid]
    assert [one.public_key.kid for one in trust.officer_keys] == [key.kid for key in OFFICERS]
    assert trust.roots == (sample_authority().certificate,)
    assert (trust.passkeys.rp_id, trust.passkeys.origins) == (RP_ID, (ORIGIN,))
    assert Trust.read(TEXT.encode()) == trust


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        TEXT[:-1] + ',"officer_threshold":2}',
        TEXT[:-1] + ',"lowest_seq":0}',
        _bent(officer_threshold=1),
        _bent(officer_threshold=0),
        _bent(officer_threshold=4),
        _bent(officer_threshold="2"),
        _bent(officer_threshold=2.0),
        _bent(officer_threshold=True),
        _bent(officers=[]),
        _bent(officers=_officers(OFFICERS[0].public.jwk, OFFICERS[0].public.jwk)),
        _bent(officers=_officers(OFFICERS[0].public.jwk, FEED.public.jwk)),
        _bent(officers=_officers(OFFICERS[0].public.jwk, OFFICERS[1].private_jwk())),
        _bent(officers=_officers(OFFICERS[0].public.jwk, {"kty": "oct"})),
        _bent(feed_keys=[]),
        _bent(feed_keys=[FEED.private_jwk()]),
        _bent(feed_keys=[OFFICERS[0].public.jwk]),
        _bent(epp_roots=[]),
        _bent(epp_roots=["no certificate"]),
        _bent(epp_roots=[sample_authority().certificate.public_bytes(Encoding.DER).hex()]),
        _bent(origin="https://keyfill.test/"),
        _bent(origin="https://keyfill.test/path"),
        _bent(origin="keyfill.test"),
        _bent(origin="https://user@keyfill.test"),
        _bent(origin="https://keyfill.test\n"),
        _bent(origin="ftp://keyfill.test"),
        _bent(audience=""),
        _bent(audience="absent"),
        _bent(rp_id=""),
        _bent(lowest_seq=-1),
        _bent(cooling_off_seconds=-1),
        _bent(cooling_off_seconds=604_801),
        _bent(cooling_off_seconds=3_600.0),
        _bent(cooling_off_seconds="3600"),
        _bent(extra=1),
    ],
    ids=range(37),
)
def test_a_doubtful_trust_file_is_refused(text: str) -> None:
    """Thresholds under two, shared keys, private keys, missing roots, loose types: refused."""
    with pytest.raises(TrustError):
        Trust.read(text)


def test_one_officer_with_two_spellings_of_a_key_is_refused() -> None:
    """A second spelling of an officer's key would be a second officer."""
    jwk = OFFICERS[0].public.jwk
    other = {**jwk, "x": b64url(b"\0" + from_b64url(jwk["x"]))}
    with pytest.raises(TrustError):
        Trust.read(_bent(officers=_officers(jwk, other)))


def test_a_refusal_shows_no_key() -> None:
    """A private key put into the file by mistake is not printed by the error."""
    private = signing_key("by mistake").private_jwk()
    with pytest.raises(TrustError) as refusal:
        Trust.read(_bent(feed_keys=[private]))
    assert private["d"] not in str(refusal.value)
    assert "feed_keys" in str(refusal.value)


def test_the_lowest_seq_defaults_to_none() -> None:
    """A file that does not raise `lowest_seq` accepts entries from 0."""
    assert Trust.read(_bent(lowest_seq="absent")).lowest_seq == 0
    assert PublicKey.from_jwk(Trust.read(TEXT).feed_keys[0].members()) == FEED.public


@pytest.mark.parametrize("place", ["feed_keys", "officers"])
def test_a_passkey_only_algorithm_is_refused(place: str) -> None:
    """An RS256 key of the feed or an officer could never sign, yet would count as one."""
    document = json.loads(World.make().trust_file)
    jwk = signing_key("rs256 officer", "RS256").public.jwk
    document[place][0] = jwk if place == "feed_keys" else {"name": "Olga", "key": jwk}
    with pytest.raises(TrustError, match="passkeys only"):
        Trust.read(json.dumps(document))


def test_changes_wait_as_long_as_the_file_says() -> None:
    """Not at all in a file that does not say so, at most a week."""
    assert Trust.read(TEXT).cooling_off_seconds == 0
    for seconds in (0, 604_800):
        assert Trust.read(_bent(cooling_off_seconds=seconds)).cooling_off_seconds == seconds
