"""Hypothesis strategies that bend genuine texts: bits, spans, members, values, whole parts."""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from hypothesis import strategies as st

from ceremony.encoding import b64url, from_b64url

T = TypeVar("T")
Bend = Callable[[bytes], bytes]

HOSTILE_TEXT: Final = (
    "",
    ".",
    "..",
    "=",
    "\x00",
    "\n",
    " ",
    "\u00e9",
    "e\u0301",
    "\u202e",
    "\ufeff",
    "\uff11",
    "\U0001f511",
    '"',
    "\\",
    "\\u0000",
    "\\ud800",
    "{",
    "}}",
    "[" * 9,
    "9" * 5_000,
    "A" * 70_000,
)
HOSTILE_JSON: Final = (
    "null",
    "true",
    "0",
    "-1",
    "-0",
    "1.0",
    "1e999",
    "-1e-999",
    "NaN",
    "Infinity",
    "9223372036854775808",
    "1" + "0" * 400,
    "9" * 4_301,
    '""',
    '"\\u0000"',
    '"\\ud800"',
    '"\u202e1"',
    '"none"',
    '"HS256"',
    '"' + "A" * 33_000 + '"',
    "[]",
    "{}",
    '[""]',
    "[" * 7 + "]" * 7,
    "[" * 9 + "]" * 9,
    "[" * 30_000,
    '{"":' * 9 + "1" + "}" * 9,
)
HOSTILE_MEMBERS: Final = ("", "jwk", "jku", "x5c", "x5u", "crit", "b64", "__proto__", "\\u0061ud")
MOST: Final = 65_536
_PLACES = st.integers(0, MOST)


def _flip(place: int, bit: int) -> Bend:
    def bend(data: bytes) -> bytes:
        if not data:
            return data
        at = place % len(data)
        return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]

    return bend


def _cut(place: int, length: int) -> Bend:
    def bend(data: bytes) -> bytes:
        at = place % (len(data) + 1)
        return data[:at] + data[at + length :]

    return bend


def _truncate(place: int) -> Bend:
    return lambda data: data[: place % (len(data) + 1)]


def _insert(place: int, what: bytes) -> Bend:
    def bend(data: bytes) -> bytes:
        at = place % (len(data) + 1)
        return data[:at] + what + data[at:]

    return bend


def _repeat(times: int) -> Bend:
    return lambda data: (data * times)[: 4 * MOST]


def _swap(place: int, other: int) -> Bend:
    def bend(data: bytes) -> bytes:
        if not data:
            return data
        first, second = sorted((place % len(data), other % len(data)))
        return data[second:] + data[first:second] + data[:first]

    return bend


def bends() -> st.SearchStrategy[Bend]:
    """One to three changes of some bytes, wherever they stand."""
    inserted = st.sampled_from(HOSTILE_TEXT).map(str.encode) | st.binary(min_size=1, max_size=8)
    one = st.one_of(
        st.builds(_flip, _PLACES, st.integers(0, 7)),
        st.builds(_cut, _PLACES, st.integers(1, 40)),
        st.builds(_truncate, _PLACES),
        st.builds(_insert, _PLACES, inserted),
        st.builds(_repeat, st.integers(2, 40)),
        st.builds(_swap, _PLACES, _PLACES),
    )
    return st.lists(one, min_size=1, max_size=3).map(_in_turn)


def bent_text(texts: Sequence[str]) -> st.SearchStrategy[str]:
    """One of these texts, bent as bytes; what is no UTF-8 then comes as lone surrogates."""
    return st.builds(
        lambda text, bend: bend(text.encode()).decode("utf-8", "surrogateescape"),
        st.sampled_from(texts),
        bends(),
    )


def bent_json(data: bytes) -> st.SearchStrategy[bytes]:
    """A JSON object with a member replaced, removed, added or doubled, or bent as bytes."""
    members = list(json.loads(data).items())
    name = st.sampled_from([name for name, _ in members] + list(HOSTILE_MEMBERS))
    value = st.one_of(
        st.sampled_from(HOSTILE_JSON),
        st.sampled_from([json.dumps(value) for _, value in members]),
        st.integers().map(str),
        st.text(max_size=20).map(json.dumps),
    )
    return st.one_of(
        st.builds(_replaced, st.just(members), name, value),
        st.builds(_doubled, st.just(members), name, value, st.booleans()),
        st.sampled_from(members).map(lambda gone: _written([m for m in members if m != gone])),
        bends().map(lambda bend: bend(data)),
    )


def bent_jws(texts: Sequence[str]) -> st.SearchStrategy[str]:
    """A compact JWS of which one part is bent behind its encoding, or parts of several."""
    split = [text.split(".") for text in texts]
    part = st.sampled_from(split)
    mixed = st.builds(lambda a, b, c: f"{a[0]}.{b[1]}.{c[2]}", part, part, part)
    # One strategy for each text, made once: making them anew for each example takes longest.
    return st.one_of(mixed, _any_of(_one_part_bent(parts) for parts in split), bent_text(texts))


def bent_assertion(texts: Sequence[str]) -> st.SearchStrategy[str]:
    """A WebAuthn form of which one member is bent behind its encoding, or members of several."""
    said: list[dict[str, str]] = [json.loads(text) for text in texts]
    one = st.sampled_from(said)
    names = sorted(said[0])
    mixed = st.tuples(*(one for _ in names)).map(
        lambda picked: json.dumps({name: p[name] for name, p in zip(names, picked, strict=True)})
    )
    as_json = _any_of(bent_json(text.encode()) for text in texts).map(_readable)
    return st.one_of(
        mixed, _any_of(_one_member_bent(members) for members in said), as_json, bent_text(texts)
    )


def bent_envelope(envelopes: Sequence[str], others: Sequence[str]) -> st.SearchStrategy[str]:
    """An envelope with its statements mixed, repeated, taken from others, or bent."""
    statements = [one for text in envelopes for one in json.loads(text)["statements"]]
    pool = st.sampled_from(statements) | st.sampled_from(others)
    bent = bent_text(statements) | bent_jws([one for one in statements if one[0] != "{"])
    mixed = st.lists(pool | bent, max_size=9).map(lambda some: json.dumps({"statements": some}))
    as_json = _any_of(bent_json(text.encode()) for text in envelopes)
    return st.one_of(
        mixed,
        _any_of(_one_statement_bent(text) for text in envelopes),
        as_json.map(_readable),
        bent_text(envelopes),
    )


def _one_part_bent(parts: list[str]) -> st.SearchStrategy[str]:
    decoded = [from_b64url(part) for part in parts]

    def put(at: int) -> Callable[[bytes], str]:
        return lambda data: ".".join([*parts[:at], b64url(data), *parts[at + 1 :]])

    return st.one_of(
        bent_json(decoded[0]).map(put(0)),
        bent_json(decoded[1]).map(put(1)),
        bends().map(lambda bend: bend(decoded[2])).map(put(2)),
    )


def _one_member_bent(said: dict[str, str]) -> st.SearchStrategy[str]:
    def put(name: str) -> Callable[[bytes], str]:
        return lambda data: json.dumps({**said, name: b64url(data)})

    decoded = {name: from_b64url(value) for name, value in said.items() if name != "typ"}
    binary = ("credential_id", "authenticator_data", "signature")
    return st.one_of(
        bent_json(decoded["payload"]).map(put("payload")),
        bent_json(decoded["client_data_json"]).map(put("client_data_json")),
        *(_bent(decoded[name]).map(put(name)) for name in binary),
    )


def _one_statement_bent(envelope: str) -> st.SearchStrategy[str]:
    statements: list[str] = json.loads(envelope)["statements"]

    def put(at: int, bent: str) -> str:
        return json.dumps({"statements": [*statements[:at], bent, *statements[at + 1 :]]})

    return _any_of(bent_text([one]).map(partial(put, at)) for at, one in enumerate(statements))


def _any_of(several: Iterable[st.SearchStrategy[T]]) -> st.SearchStrategy[T]:
    made = list(several)
    return st.integers(0, len(made) - 1).flatmap(made.__getitem__)


def _bent(data: bytes) -> st.SearchStrategy[bytes]:
    return bends().map(lambda bend: bend(data))


def _in_turn(several: list[Bend]) -> Bend:
    def bend(data: bytes) -> bytes:
        for one in several:
            data = one(data)[: 4 * MOST]
        return data

    return bend


def _replaced(members: list[tuple[str, Any]], name: str, value: str) -> bytes:
    return _written([m for m in members if m[0] != name], f'"{name}":{value}')


def _doubled(members: list[tuple[str, Any]], name: str, value: str, first: bool) -> bytes:
    return _written(members, f'"{name}":{value}', first=first)


def _written(members: list[tuple[str, Any]], more: str = "", *, first: bool = False) -> bytes:
    texts = [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members]
    texts = [more, *texts] if first else [*texts, more]
    return ("{" + ",".join(text for text in texts if text) + "}").encode()


def _readable(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
