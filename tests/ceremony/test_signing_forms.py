"""Signing: one algorithm for one key, and one form of what is signed."""

import json

import pytest
from joserfc.errors import UnsupportedAlgorithmError

from ceremony.signing import OneAlgorithm, payload_bytes
from tests.support.world import World


@pytest.mark.parametrize("foreign", ["ES384", "HS256", "PS256", "RS256", "none", "unheard-of"])
def test_a_registry_of_one_algorithm_knows_no_other(foreign: str) -> None:
    """Whatever a header asks for, the enrolled key's algorithm is the only one."""
    registry = OneAlgorithm("ES256")
    assert registry.get_alg("ES256").name == "ES256"
    with pytest.raises(UnsupportedAlgorithmError):
        registry.get_alg(foreign)


def test_a_signed_entry_holds_no_null_members() -> None:
    """A public key inside an entry is exactly its JWK: a null would be another digest of it."""
    world = World.make()
    standing = world.standing()
    for entry, key in (
        (standing.terminal.entry, standing.terminal.device_key),
        (standing.first.entry, standing.first.key),
    ):
        document = json.loads(payload_bytes(entry))
        member = document.get("device_key") or document["public_key"]
        assert member == key.public_key.jwk
