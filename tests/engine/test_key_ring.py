"""The payload keys: how they are written, which of them seals, and what is refused at the start."""

import pytest

from engine.keyring import KeyIdRefused, KeyIdUnknown, KeyRing, KeyRingError

NEW = "00112233445566778899aabbccddeeff" * 2
OLD = "ffeeddccbbaa99887766554433221100" * 2


def test_the_first_key_seals_and_all_open() -> None:
    """Newest first: a ring of two keys seals with the first and opens what either sealed."""
    ring = KeyRing.read(f"k2:{NEW}\n k1:{OLD} k0:refused\n")
    assert ring.sealing.key_id == "k2"
    for key in ring.keys:
        ring.opener(key.key_id, key.check)
    with pytest.raises(KeyIdRefused):
        ring.opener("k0", bytes(4))


def test_an_unknown_id_is_neither_opened_nor_refused() -> None:
    """A key that is missing here is told apart from one that is refused, until all are."""
    with pytest.raises(KeyIdUnknown):
        KeyRing.read(f"k1:{NEW}").opener("k9", bytes(4))
    with pytest.raises(KeyIdRefused):
        KeyRing.read(f"k1:{NEW} *:refused").opener("k9", bytes(4))


def test_another_key_of_the_same_id_is_unknown() -> None:
    """Two processes that were given different keys under one id notice it."""
    theirs = KeyRing.read(f"k1:{OLD}").sealing
    with pytest.raises(KeyIdUnknown):
        KeyRing.read(f"k1:{NEW}").opener("k1", theirs.check)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k1:refused",
        NEW,
        f"K1:{NEW}",
        f"*:{NEW}",
        f"k1:{NEW[:-2]}",
        f"k1:{NEW}00",
        f"k1:{NEW[:-1]}x",
        "k1:" + "00" * 32,
        f"k1:{NEW} k1:{OLD}",
        f"k1:{NEW} k2:{NEW}",
        f"k1:{NEW} k1:refused",
        f"k1:{NEW} refused",
    ],
)
def test_a_ring_that_cannot_be_meant_is_refused(text: str) -> None:
    """No key, a short or a doubled one, an odd id: one sentence, in which no key is quoted."""
    with pytest.raises(KeyRingError) as refused:
        KeyRing.read(text)
    said = str(refused.value)
    assert said.endswith(".")
    assert NEW[:16] not in said


def test_a_ring_shows_no_key() -> None:
    """What a log or a debugger prints of a ring holds no key."""
    assert NEW not in repr(KeyRing.read(f"k1:{NEW}"))
