"""Where things are in a deployment's home folder, and how keys are read from it."""

from dataclasses import dataclass
from pathlib import Path

from ceremony.encoding import EncodingError, canonical_json, strict_json
from ceremony.keys import KeyRefused, SigningKey
from ceremony.trust import Trust, TrustError
from holdings import Role
from terminal.durable import replace


class HomeError(Exception):
    """The home folder lacks something or holds something unusable; the message says what."""


@dataclass(frozen=True, slots=True)
class HomeFolder:
    """A home folder; nothing in it need exist yet."""

    path: Path

    @property
    def trust_file(self) -> Path:
        """The trust file."""
        return self.path / "trust.json"

    @property
    def policy_file(self) -> Path:
        """The key policy."""
        return self.path / "policy.toml"

    @property
    def kdh_certificate(self) -> Path:
        """The KDH's certificate (PEM): public, for terminals to pin."""
        return self.path / "kdh.pem"

    @property
    def hsm(self) -> Path:
        """Development only: the token of a software HSM, if the home has one."""
        return self.path / "hsm"

    @property
    def journal(self) -> Path:
        """The key worker's journal."""
        return self.path / "journal.db"

    @property
    def feed_key(self) -> Path:
        """Development only: the ATM back office's signing key."""
        return self.path / "feed" / "feed.jwk"

    @property
    def feed_file(self) -> Path:
        """The feed that a development deployment reads."""
        return self.path / "feed" / "terminals.jsonl"

    @property
    def officers(self) -> Path:
        """Development only: the officers' keys."""
        return self.path / "officers"

    @property
    def administrators(self) -> Path:
        """Development only: administrators' keys."""
        return self.path / "administrators"

    @property
    def terminals(self) -> Path:
        """Development only: sample terminals, a folder each."""
        return self.path / "terminals"

    @property
    def epp_root(self) -> Path:
        """Development only: the sample EPP maker's root, `key.pem` and `certificate.pem`."""
        return self.path / "epp-root"

    @property
    def sm2_kdh_certificate(self) -> Path:
        """The KDH's SM2 certificate (PEM), for terminals with SM2 EPPs to pin."""
        return self.path / "kdh-sm2.pem"

    @property
    def sm2_epp_root(self) -> Path:
        """Development only: the sample EPP maker's SM2 root, as `epp_root`."""
        return self.path / "epp-root-sm2"

    @property
    def logs(self) -> Path:
        """What the processes of `keyfill up` write."""
        return self.path / "logs"

    def secrets(self, role: Role) -> Path:
        """A role's own secrets."""
        return self.path / "secrets" / role

    def trust(self) -> Trust:
        """Read the trust file.

        Raises:
            HomeError: if it is missing or cannot be used.
        """
        return read_trust(self.trust_file)


def read_trust(path: Path) -> Trust:
    """Read a trust file.

    Raises:
        HomeError: if it is missing or cannot be used.
    """
    try:
        return Trust.read(path.read_bytes())
    except OSError:
        says = f"Put the trust file at {path}; in development `keyfill init` makes one."
        raise HomeError(says) from None
    except TrustError as error:
        raise HomeError(f"Mend {path}: {error}.") from None


def read_key(path: Path) -> SigningKey:
    """Read a private JWK from a file.

    Raises:
        HomeError: if it is missing or no key.
    """
    try:
        return SigningKey.from_jwk(strict_json(path.read_bytes()))
    except OSError:
        raise HomeError(f"There is no key at {path}.") from None
    except (EncodingError, KeyRefused):
        # The cause could quote the file.
        raise HomeError(f"The key at {path} cannot be used.") from None


def write_key(path: Path, key: SigningKey) -> None:
    """Write a private JWK, readable by its owner only; the folder is made if need be."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace(path, canonical_json(key.private_jwk()) + b"\n")
