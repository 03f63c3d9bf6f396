"""The OpenAPI side of answers: which problem documents a call may give, each by its code."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from api.problems import MEDIA_TYPE, TYPE_PREFIX, Problem
from api.wire import StillPending

Responses = dict[int | str, dict[str, Any]]

PROBLEM_SCHEMA: Final = "Problem"

_DESCRIPTIONS: Final[Mapping[int, str]] = {
    400: "Malformed.",
    401: "Not authenticated.",
    403: "Refused by a rule.",
    404: "Unknown, or not yours: both look the same.",
    409: "Not in place at this stage.",
    410: "Expired.",
    413: "The body is larger than 64 KiB.",
    422: "Not of the documented form; never repeats what was sent.",
    429: "Asked too often.",
    500: "A fault of the server's.",
    503: "The database, Temporal or the key worker is away.",
}

_SUPPOSED_SCHEMAS: Final = ("HTTPValidationError", "ValidationError")

_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
}

ALWAYS: Final = {429: ("too-many-requests",), 500: ("internal-error",)}
DATABASE: Final = {503: ("database-unavailable",)}
TEMPORAL: Final = {503: ("database-unavailable", "temporal-unavailable")}
BODY: Final = {400: ("malformed",), 413: ("body-too-large",), 422: ("schema",)}
QUERY: Final = {422: ("schema",)}
SESSION: Final = {401: ("not-authenticated",), 403: ("cross-site",)}
AUDITOR: Final = {401: ("not-authenticated",), 403: ("not-auditor", "cross-site")}
STATEMENT: Final = {
    400: ("malformed", "too-large", "header-refused", "wrong-type"),
    401: ("not-authenticated", "wrong-audience"),
    413: ("body-too-large",),
    422: ("schema",),
}
BY_CHALLENGE: Final = {401: ("challenge-refused",)}
BY_CLOCK: Final = {401: ("stale",)}
APPROVAL_KEY: Final = {403: ("passkey-required", "passkey-not-device-bound")}
IN_PLACE: Final = {403: ("wrong-request", "wrong-terminal"), 404: ("not-found",)}
STAGED: Final = {409: ("wrong-stage",)}


def problems(*sets: Mapping[int, tuple[str, ...]]) -> Responses:
    """Document every problem of these sets, with an example each, and those that any call has."""
    codes: defaultdict[int, list[str]] = defaultdict(list)
    for one in (*sets, ALWAYS):
        for status, names in one.items():
            codes[status] += [name for name in names if name not in codes[status]]
    return {status: _response(status, names) for status, names in sorted(codes.items())}


def pending() -> Responses:
    """Document the answer 202, when the verdict is still to come."""
    return {
        202: {
            "model": StillPending,
            "description": "Received, and no verdict yet: send the same again to fetch it.",
            "headers": {
                "Location": {
                    "description": "The loading request.",
                    "schema": {"type": "string", "format": "uri-reference"},
                }
            },
        }
    }


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """Complete an OpenAPI document: add the problem's schema, drop what the framework supposes.

    No route names the problem document as its model. The framework supposes an answer 422 of its
    own form wherever there is a parameter; where that can happen, `problems` has documented it.
    """
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= schema.pop("$defs", {}) | {PROBLEM_SCHEMA: schema}
    for name in _SUPPOSED_SCHEMAS:
        schemas.pop(name, None)
    for path in document["paths"].values():
        for operation in path.values():
            if MEDIA_TYPE not in operation["responses"].get("422", {}).get("content", {}):
                operation["responses"].pop("422", None)
    return document


def _response(status: int, codes: list[str]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": f"{_DESCRIPTIONS[status]} Code: {', '.join(f'`{code}`' for code in codes)}.",
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": f"#/components/schemas/{PROBLEM_SCHEMA}"},
                "examples": {code: {"value": _example(status, code)} for code in codes},
            }
        },
    }
    if status in (429, 503):
        response["headers"] = _RETRY_AFTER
    return response


def _example(status: int, code: str) -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": TYPE_PREFIX + code,
        "title": code.replace("-", " ").capitalize(),
        "status": status,
        "code": code,
    }
    if code == "wrong-stage":
        example["stage"] = "AWAITING_REVIEW"
    if code == "schema":
        example["fields"] = ["body.statement: missing"]
    return example
