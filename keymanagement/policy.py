"""The key policy: which key and which tokens the terminals of each model get, in one TOML file.

A `[default]` section speaks for every model that has no section of its own; a section
`[model."<model>"]`, named as the terminal entry names the model, says only what differs. What
neither says is `KeyRule`'s. The file is read as a whole and strictly, when the key worker starts:
what it asks for and nobody could make stops the key worker, not a terminal's load.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ceremony.reasons import Reason
from ceremony.statements import Name
from keymanagement.algorithm import KeyAlgorithm
from keymanagement.port import KeyManagementError, KeyUsage
from keymanagement.tokenformat import REACH
from keymanagement.tr34 import keytoken as tr34
from keymanagement.tr34.dialect import Dialect
from keymanagement.tr34.form import ContentCipher, TokenForm

DEFAULT: Final = "default"
CARRIED: Final[Mapping[str, frozenset[KeyAlgorithm]]] = MappingProxyType(
    {name: reach.algorithms for name, reach in REACH.items()}
)
"""Every token format that a key manager of ours makes, and the keys that it can carry."""


class PolicyInvalid(KeyManagementError):
    """The policy file cannot be used; `section` and `field` say where, the message why.

    `section` is empty where the file as a whole is wrong, `field` where the section is.
    """

    def __init__(self, section: str, field_name: str, why: str) -> None:
        """Name the section, the field, and what is wrong."""
        where = " ".join((f"[{section}]" if section else "", field_name)).strip()
        super().__init__(f"{where}: {why}" if where else why)
        self.section = section
        self.field = field_name


class ModelUnknown(KeyManagementError):
    """The policy says nothing of this terminal's model, and has no default."""

    reason = Reason.MODEL_UNKNOWN


@dataclass(frozen=True, slots=True)
class KeyRule:
    """What the terminals of one model get.

    `formats` are the token formats that are allowed; which of them a terminal gets is its request's
    to prefer. `form` is how its `tr34` tokens are written.
    """

    algorithm: KeyAlgorithm = KeyAlgorithm.AES_128
    key_usage: KeyUsage = "K1"
    formats: tuple[str, ...] = tuple(CARRIED)
    form: TokenForm = field(default_factory=TokenForm)

    def formats_for(self, algorithm: KeyAlgorithm) -> tuple[str, ...]:
        """The allowed formats that carry keys of `algorithm` in this form.

        A key that was released under an earlier policy is wrapped again as what it is.
        """
        return tuple(one for one in self.formats if _carries(one, algorithm, self.form.cipher))


class KeyPolicy:
    """The rules of a deployment, by terminal model."""

    def __init__(self, default: KeyRule | None, models: Mapping[str, KeyRule]) -> None:
        """Take the rule for models that are not named (None: there is none), and the others."""
        self._default = default
        self._models = MappingProxyType(dict(models))

    @classmethod
    def for_all(cls, algorithm: KeyAlgorithm = KeyAlgorithm.AES_128) -> Self:
        """One rule for every model: keys of `algorithm`, in all formats that carry them.

        Raises:
            PolicyInvalid: if none does.
        """
        return cls(_rule(DEFAULT, _Section(), algorithm), {})

    @classmethod
    def read(cls, text: str, *, algorithm: KeyAlgorithm) -> Self:
        """Read a policy file; `algorithm` is the default section's where the file says none.

        Raises:
            PolicyInvalid: if it is no TOML, has an unknown section or field, or asks for what no
                key manager makes or no token carries.
        """
        try:
            file = _File.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise PolicyInvalid("", "", f"no TOML: {error}") from None
        except ValidationError as error:
            raise _of_validation(error) from None
        if file.default is None and not file.model:
            raise PolicyInvalid("", "", "it names no model and has no default section")
        base = file.default or _Section()
        fallback = None if file.default is None else algorithm
        default = None if file.default is None else _rule(DEFAULT, base, algorithm)
        models = {
            name: _rule(f'model."{name}"', base.overridden(own), fallback)
            for name, own in file.model.items()
        }
        return cls(default, models)

    def rule_for(self, model: str) -> KeyRule:
        """The rule for a terminal's model, letter by letter as its entry names it.

        Raises:
            ModelUnknown: if the policy has no rule for it.
        """
        rule = self._models.get(model, self._default)
        if rule is None:
            raise ModelUnknown("the policy has no rule for this terminal's model")
        return rule

    def require_made(self, made: Callable[[KeyAlgorithm], Iterable[str]]) -> None:
        """Pass only if a key manager makes a token under every rule.

        Args:
            made: what `KeyManager.formats_for` of the one in use answers.

        Raises:
            PolicyInvalid: naming the first section under which no terminal could get a key.
        """
        named = {f'model."{name}"': rule for name, rule in self._models.items()}
        rules = named if self._default is None else {DEFAULT: self._default, **named}
        for section, rule in rules.items():
            if set(rule.formats).isdisjoint(made(rule.algorithm)):
                why = f"the key manager in use makes none of them for {rule.algorithm}"
                raise PolicyInvalid(section, "formats", why)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    algorithm: KeyAlgorithm | None = None
    key_usage: KeyUsage | None = None
    formats: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    tr34_dialect: Dialect | None = None
    tr34_cipher: ContentCipher | None = None

    def overridden(self, own: Self) -> Self:
        """This section with what another one says itself."""
        return self.model_copy(update=own.model_dump(exclude_none=True))


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    default: _Section | None = None
    model: dict[Name, _Section] = {}


def _rule(section: str, said: _Section, algorithm: KeyAlgorithm | None) -> KeyRule:
    algorithm = said.algorithm or algorithm
    if algorithm is None:
        raise PolicyInvalid(section, "algorithm", "say it here, or in a [default] section")
    form = TokenForm()
    form = replace(
        form, dialect=said.tr34_dialect or form.dialect, cipher=said.tr34_cipher or form.cipher
    )
    formats = _require_formats(section, said.formats or _carrying(algorithm), algorithm)
    if tr34.FORMAT in formats and not form.cipher.carries(algorithm):
        why = f"an envelope under {form.cipher} does not carry {algorithm}"
        raise PolicyInvalid(section, "tr34_cipher", why)
    return KeyRule(algorithm, said.key_usage or "K1", formats, form)


def _carrying(algorithm: KeyAlgorithm) -> tuple[str, ...]:
    return tuple(one for one, carried in CARRIED.items() if algorithm in carried)


def _require_formats(
    section: str, formats: tuple[str, ...], algorithm: KeyAlgorithm
) -> tuple[str, ...]:
    for one in formats:
        if one not in CARRIED:
            why = f"no key manager makes {one!r}, they make {', '.join(CARRIED)}"
            raise PolicyInvalid(section, "formats", why)
        if algorithm not in CARRIED[one]:
            raise PolicyInvalid(section, "formats", f"{one} does not carry {algorithm}")
    if not formats or len(set(formats)) != len(formats):
        raise PolicyInvalid(section, "formats", "name one format or more, each once")
    return formats


def _carries(token_format: str, algorithm: KeyAlgorithm, cipher: ContentCipher) -> bool:
    if token_format == tr34.FORMAT:
        return cipher.carries(algorithm)
    return algorithm in CARRIED[token_format]


def _of_validation(error: ValidationError) -> PolicyInvalid:
    first = error.errors(include_input=False, include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    head = 2 if path[0] == "model" else 1
    section = f'model."{path[1]}"' if len(path) > 1 and head == 2 else path[0]
    return PolicyInvalid(section, ".".join(path[head:]), first["msg"])
