"""The search attributes by which an auditor finds loading requests in Temporal.

They stay in clear whatever codec is used: staff numbers yes, phone numbers never.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from ceremony import names

REQUEST: Final = SearchAttributeKey.for_keyword(names.SEARCH_REQUEST)
STAGE: Final = SearchAttributeKey.for_keyword(names.SEARCH_STAGE)
TERMINAL: Final = SearchAttributeKey.for_keyword(names.SEARCH_TERMINAL)
FIRST_ADMINISTRATOR: Final = SearchAttributeKey.for_keyword(names.SEARCH_FIRST)
SECOND_ADMINISTRATOR: Final = SearchAttributeKey.for_keyword(names.SEARCH_SECOND)
BRANCH: Final = SearchAttributeKey.for_keyword(names.SEARCH_BRANCH)

ALL: Final = (REQUEST, STAGE, TERMINAL, FIRST_ADMINISTRATOR, SECOND_ADMINISTRATOR, BRANCH)

_VISIBLE_WITHIN: Final = timedelta(seconds=30)
_PAUSE_S: Final = 0.1


class SearchAttributeMismatch(Exception):
    """The namespace has an attribute of our name with another type; an operator must decide.

    Attributes:
        names: The attributes concerned, sorted.
    """

    def __init__(self, mismatched: list[str]) -> None:
        self.names = sorted(mismatched)
        super().__init__(f"search attributes of another type than Keyword: {', '.join(self.names)}")


class SearchAttributesNotVisible(Exception):
    """The server accepted new attributes but did not list them within 30 s."""


def registrations() -> dict[str, str]:
    """Name and type of every attribute, as `temporal server start-dev` takes them."""
    return {key.name: "Keyword" for key in ALL}


async def missing(client: Client) -> list[str]:
    """The names of the attributes that the client's namespace lacks, sorted.

    Raises:
        SearchAttributeMismatch: One exists with another type.
        RPCError: The server refused.
    """
    return _missing(await _listed(client))


async def register_missing(client: Client) -> list[str]:
    """Register the attributes that the client's namespace lacks, and wait until it lists them.

    Safe to call from several processes at once and at every start.

    Returns:
        The names that were missing, sorted.

    Raises:
        SearchAttributeMismatch: One exists with another type; nothing was registered.
        SearchAttributesNotVisible: See there.
        RPCError: The server refused, for example because this client is not an operator.
    """
    lacking = await missing(client)
    if not lacking:
        return []
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=client.namespace,
                search_attributes=dict.fromkeys(
                    lacking, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
                ),
            ),
            retry=True,
        )
    except RPCError as error:
        # Another process was faster; the wait below makes sure that nothing is missing.
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
    deadline = time.monotonic() + _VISIBLE_WITHIN.total_seconds()
    while _missing(await _listed(client)):
        if time.monotonic() > deadline:
            raise SearchAttributesNotVisible(", ".join(lacking))
        await asyncio.sleep(_PAUSE_S)
    return lacking


async def _listed(client: Client) -> Mapping[str, IndexedValueType.ValueType]:
    response = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), retry=True
    )
    return response.custom_attributes


def _missing(listed: Mapping[str, IndexedValueType.ValueType]) -> list[str]:
    mismatched = [
        name
        for name in registrations()
        if listed.get(name, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
        != IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    ]
    if mismatched:
        raise SearchAttributeMismatch(mismatched)
    return sorted(name for name in registrations() if name not in listed)


def opening(request_id: str, terminal_no: str) -> TypedSearchAttributes:
    """What a loading request is found by before its workflow has said more itself."""
    return TypedSearchAttributes(
        [SearchAttributePair(REQUEST, request_id), SearchAttributePair(TERMINAL, terminal_no)]
    )
