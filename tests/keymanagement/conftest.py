"""One KEK, one KDH, and the software key manager that holds them."""

import pytest

from keymanagement.kdh import KdhIdentity
from keymanagement.port import KeyBinding
from keymanagement.software import SoftwareKeyManager
from tests.support.keytokens import sample_kdh


@pytest.fixture(scope="session")
def kek() -> bytes:
    """A made-up KEK."""
    return bytes(range(32))


@pytest.fixture(scope="session")
def kdh() -> KdhIdentity:
    """The KDH that signs the tokens."""
    return sample_kdh()


@pytest.fixture(scope="session")
def manager(kek: bytes, kdh: KdhIdentity) -> SoftwareKeyManager:
    """The software key manager."""
    return SoftwareKeyManager(kek, kdh)


@pytest.fixture(scope="session")
def binding() -> KeyBinding:
    """One terminal and one request."""
    return KeyBinding("ATM-0001", "A" * 24)
