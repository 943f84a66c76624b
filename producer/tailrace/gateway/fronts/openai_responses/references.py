"""References to items: a client may name an item of an earlier response instead of repeating it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from starlette.exceptions import HTTPException

from tailrace import InvalidRequest, JobNotFound, JobState
from tailrace.encoders.openai_responses import response_id
from tailrace.gateway.context import Gateway
from tailrace.gateway.fronts.openai_responses.response_job import ResponseJob
from tailrace.gateway.principal import Principal

_ITEM_ID: Final = re.compile(r"[a-z]+_(?P<job>.+)_\d+_\d+")
"""The id of an item has the id of its job."""
_REFERENCE: Final = "item_reference"
_MAX_RESPONSES: Final = 256
"""How many responses one request may refer to: each of them is read."""
_WHY: Final = ": its response expired, was deleted or was not to be stored. Give the item itself."
_ACTIVE: Final = frozenset({JobState.QUEUED, JobState.RUNNING})


async def with_items(
    gateway: Gateway, principal: Principal, given: str | Sequence[Mapping[str, Any]]
) -> str | Sequence[Mapping[str, Any]]:
    """Put items in the place of the references to them in an input.

    Args:
        gateway: What all routes share.
        principal: Who asks.
        given: The input: a text of the user, or items.

    Returns:
        The input without references.

    Raises:
        HTTPException: There is no such item: its response expired, was deleted, is another tenant's, or was not to be
            stored. The status is 404.
        InvalidRequest: The response has not ended, a part of it was lost, or there are more than 256 responses.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    if isinstance(given, str):
        return given
    named = {place: str(item.get("id"))[:128] for place, item in enumerate(given) if item.get("type") == _REFERENCE}
    # The first reference to a response is where messages say that something is wrong with it.
    places = {_response_of(item_id): place for place, item_id in reversed(named.items())}
    if len(places) > _MAX_RESPONSES:
        raise InvalidRequest(f"input: it refers to {len(places)} responses. {_MAX_RESPONSES} is the limit.")
    found: dict[str, Mapping[str, Any]] = {}
    for response, place in places.items():
        found |= await _items_of(gateway, principal, response, f"input.{place}")
    for place, item_id in named.items():
        if item_id not in found:
            raise HTTPException(404, f"input.{place}.id: there is no item {item_id!r}{_WHY}")
    return [found[named[place]] if place in named else item for place, item in enumerate(given)]


def refers_here(given: object) -> bool:
    """Return whether an input refers to an item that only tailrace knows: its ids differ from those of providers.

    Args:
        given: The input, as the client wrote it.
    """
    items = cast("list[object]", given) if isinstance(given, list) else []
    return any(_is_own_reference(item) for item in items)


def _is_own_reference(item: object) -> bool:
    match item:
        case {"type": "item_reference", "id": str(item_id)}:
            return _ITEM_ID.fullmatch(item_id) is not None
        case _:
            return False


def _response_of(item_id: str) -> str:
    match = _ITEM_ID.fullmatch(item_id)
    return response_id(match["job"] if match else "")


async def _items_of(
    gateway: Gateway, principal: Principal, response: str, path: str
) -> Mapping[str, Mapping[str, Any]]:
    """Return the items of a response by their ids; none if nothing may refer to it."""
    try:
        found = await ResponseJob.find(gateway, principal, response)
        front = await found.job.front()
    except JobNotFound:
        return {}
    if not found.is_translated or front.get("said", {}).get("store") is False:
        return {}
    if found.status.state in _ACTIVE:
        raise InvalidRequest(f"{path}: the response of this item is not finished. Wait until it has ended.")
    answer = await found.answer()
    if not answer.is_complete:
        raise InvalidRequest(f"{path}: a part of this item's response was lost. Give the item itself.")
    return {item["id"]: item for item in (answer.response or {}).get("output", ())}
