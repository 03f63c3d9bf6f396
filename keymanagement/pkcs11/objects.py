"""PKCS#11 objects as dictionaries: what is asked for, and what a module really made of it."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass

from keymanagement.pkcs11.faults import HsmKeyInvalid

Attributes = Mapping[Attribute, Any]

_UNKNOWN: Final = (pkcs11.AttributeTypeInvalid, pkcs11.AttributeValueInvalid)


class HsmKey(Protocol):
    """A key object. Which of these its module has depends on its attributes, at run time."""

    def __getitem__(self, name: Attribute) -> Any:  # noqa: ANN401 - of the attribute's own type
        """Read an attribute."""
        ...

    def __setitem__(self, name: Attribute, value: object) -> None:
        """Change an attribute."""
        ...

    def get_attributes(self, keys: list[Attribute]) -> dict[Attribute, Any]:
        """Read several attributes at once."""
        ...

    def destroy(self) -> None:
        """Destroy the object."""
        ...

    def sign(self, data: bytes, *, mechanism: Mechanism, mechanism_param: object = None) -> bytes:
        """Sign, or MAC."""
        ...

    def encrypt(self, data: bytes, *, mechanism: Mechanism) -> bytes:
        """Encrypt."""
        ...

    def wrap_key(self, key: object, *, mechanism: Mechanism, mechanism_param: object) -> bytes:
        """Wrap another key under this one."""
        ...


def find(session: pkcs11.Session, wanted: Attributes) -> list[HsmKey]:
    """All objects of these attributes, stored or of a session."""
    found: list[Any] = list(session.get_objects(dict(wanted)))
    return found


def require_login(session: pkcs11.Session) -> None:
    """Pass only while the user is logged in: whoever is not finds no private key, and no error.

    Raises:
        pkcs11.UserNotLoggedIn: as the module says it when a private key is asked for.
    """
    key = session.generate_key(
        KeyType.AES,
        128,
        store=False,
        capabilities=MechanismFlag(0),
        template={Attribute.PRIVATE: True},
    )
    key.destroy()


def read(key: HsmKey, attribute: Attribute) -> object:
    """An attribute's value, or None if the module does not know it."""
    try:
        value: object = key[attribute]
    except _UNKNOWN:
        return None
    return value


def differing(key: HsmKey, wanted: Attributes) -> list[str]:
    """Name the attributes in which a key differs from what is wanted."""
    # in one call, since an HSM may be a network away; what the module does not know is left out
    found = key.get_attributes(list(wanted))
    return [name.name for name, value in wanted.items() if found.get(name) != value]


def require(key: HsmKey, wanted: Attributes, what: str) -> None:
    """Pass only a key that has exactly these attributes, as the module itself tells them.

    Raises:
        HsmKeyInvalid: if one is another or unknown; names it.
    """
    wrong = differing(key, wanted)
    if wrong:
        raise HsmKeyInvalid(f"{what} in the HSM has not the right {', '.join(wrong)}")


SECRET: Final[Attributes] = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.TOKEN: True}
