"""What the fuzzer feeds: one target per parser, genuine seeds, and a dictionary of words."""

import json
from collections.abc import Callable
from typing import Final

from ceremony.encoding import b64url, canonical_json, from_b64, from_b64url
from tests.support.identities import ORIGIN
from tests.support.parserbench import ParserBench, own_key

_SEPARATOR: Final = b"\0"

Target = Callable[[ParserBench, bytes], object]


def one_input(bench: ParserBench) -> Callable[[bytes], None]:
    """The function under fuzzing: the first byte chooses the parser, the rest is its input."""

    def run(data: bytes) -> None:
        if data:
            TARGETS[data[0] % len(TARGETS)](bench, data[1:])

    return run


def _statement(bench: ParserBench, data: bytes) -> object:
    return bench.statement(_text(data))


def _jws(bench: ParserBench, data: bytes) -> object:
    header, payload, signature = _split(data, 3)
    return bench.jws_of(header, payload, signature)


def _assertion(bench: ParserBench, data: bytes) -> object:
    typ, payload, client_data, rest = _split(data, 4)
    length = rest[0] if rest else 0
    return bench.assertion_of(
        typ.decode("utf-8", "replace"),
        payload,
        client_data_json=client_data,
        authenticator_data=rest[1 : 1 + length],
        signature=rest[1 + length :],
    )


def _envelope(bench: ParserBench, data: bytes) -> object:
    return bench.envelope(_text(data))


def _enrolment(bench: ParserBench, data: bytes) -> object:
    return bench.self_signed(data, own_key(bench))


def _terminal(bench: ParserBench, data: bytes) -> object:
    return bench.fed(data)


def _json(bench: ParserBench, data: bytes) -> object:
    return bench.json(data), bench.json(_text(data))


def _qr(bench: ParserBench, data: bytes) -> object:
    text = _text(data)
    return bench.qr(text), bench.qr(f"{ORIGIN}/a#{text}"), bench.qr(f"{ORIGIN}/a#{b64url(data)}")


def _challenge(bench: ParserBench, data: bytes) -> object:
    return bench.challenge_text(_text(data)), bench.challenge_text(b64url(data))


def _trust(bench: ParserBench, data: bytes) -> object:
    return bench.trust_file(data)


def _certificate(bench: ParserBench, data: bytes) -> object:
    return bench.certificate(data)


TARGETS: Final[tuple[Target, ...]] = (
    _statement,
    _jws,
    _assertion,
    _envelope,
    _enrolment,
    _terminal,
    _json,
    _qr,
    _challenge,
    _trust,
    _certificate,
)


def seeds(bench: ParserBench) -> list[bytes]:
    """Genuine inputs of every target, for the fuzzer to start from."""
    made = [(_statement, text.encode()) for text in (*bench.jws, *bench.assertions)]
    for text in bench.jws:
        made.append((_jws, _SEPARATOR.join(from_b64url(part) for part in text.split("."))))
    for text in bench.assertions:
        said = json.loads(text)
        decoded = {name: from_b64url(one) for name, one in said.items() if name != "typ"}
        data = decoded["authenticator_data"]
        parts = (said["typ"].encode(), decoded["payload"], decoded["client_data_json"])
        rest = bytes([len(data)]) + data + decoded["signature"]
        made.append((_assertion, _SEPARATOR.join((*parts, rest))))
    made += [(_envelope, text.encode()) for text in bench.envelopes]
    for text in bench.jws:
        payload = from_b64url(text.split(".")[1])
        made.append((_terminal if b"epp_certificate" in payload else _enrolment, payload))
        made.append((_json, payload))
        if b"epp_certificate" in payload:
            made.append((_certificate, from_b64(json.loads(payload)["epp_certificate"])))
    made += [
        (_qr, bench.qr_text.encode()),
        (_qr, bench.qr_text.partition("#")[2].encode()),
        (_qr, from_b64url(bench.qr_text.partition("#")[2])),
        (_challenge, bench.challenge.encode()),
        (_challenge, from_b64url(bench.challenge)),
        (_trust, bench.world.trust_file.encode()),
    ]
    return [bytes([TARGETS.index(target)]) + data for target, data in made]


def dictionary(bench: ParserBench) -> str:
    """Words that the fuzzer puts in: member names, values, and what breaks readers of JSON."""
    words = {'":', "null", "true", "1e999", "NaN", "-0", "\\ud800", "\\u0000", "[[[[", '{"":{'}
    for text in bench.jws:
        for part in text.split(".")[:2]:
            words |= {canonical_json(name).decode() for name in json.loads(from_b64url(part))}
    return "".join(f'"{_escaped(word)}"\n' for word in sorted(words))


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _split(data: bytes, parts: int) -> list[bytes]:
    found = data.split(_SEPARATOR, parts - 1)
    return found + [b""] * (parts - len(found))
