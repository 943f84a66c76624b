"""Requests that go to a provider of the front's own kind as they are: when, and how they are answered."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from starlette.responses import Response

from tailrace import Job
from tailrace.encoders import VerbatimEncoder
from tailrace.gateway.context import Gateway
from tailrace.gateway.fronts.caller import Caller
from tailrace.gateway.fronts.failed_job import incomplete_answer
from tailrace.gateway.fronts.form import JobForm
from tailrace.gateway.fronts.front import Api
from tailrace.gateway.model_table import ModelEntry
from tailrace.gateway.principal import Principal


async def is_verbatim(
    gateway: Gateway, api: Api, entry: ModelEntry, body: Mapping[str, Any], *, only_here: bool
) -> bool:
    """Decide whether a request goes to its provider as it is: it does unless something needs a translation.

    Neither a front nor the table of models can ask for guards, which would be another reason to translate.

    Args:
        gateway: What all routes share.
        api: The API of the request.
        entry: What the name of the model stands for.
        body: The request.
        only_here: True if only tailrace, and not the provider, can do what the request asks for.

    Returns:
        True if the provider and all fallbacks speak the API of the request, and the tokens need not be limited further.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    if only_here or not (entry.max_output_tokens is None or _asks_within(entry.max_output_tokens, api, body)):
        return False
    providers = [entry.provider, *(fallback["provider"] for fallback in entry.fallbacks)]
    return all([await gateway.models.kind_of(provider) == api.kind for provider in providers])


def verbatim_fields(
    caller: Caller, api: Api, body: Mapping[str, Any], *, model: str, is_streamed: bool
) -> dict[str, Any]:
    """Return the fields of a verbatim request, but for those that the table of models decides.

    Args:
        caller: Who asks.
        api: The API of the request.
        body: The request.
        model: The model, as the provider writes its name.
        is_streamed: True if the client wants a stream.
    """
    headers = {name: ", ".join(caller.headers.getlist(name)) for name in api.headers if name in caller.headers}
    return {"api": api.kind, "body": {**body, "model": model}, "headers": headers, "stream": is_streamed}


def verbatim_form(gateway: Gateway, principal: Principal, api: Api, job: Job) -> JobForm[VerbatimEncoder]:
    """Return how a verbatim job is answered: by its provider's own frames, or by its provider's own body.

    Args:
        gateway: What all routes share.
        principal: Who asks.
        api: The API of the request.
        job: The job.
    """

    def body_of(encoder: VerbatimEncoder) -> Response:
        if encoder.newest is None:
            return incomplete_answer(job.id)
        return Response(encoder.newest.data, media_type="application/json")

    return JobForm(make=partial(VerbatimEncoder, api.kind), whole=body_of, before=remembering(gateway, principal, job))


def remembering(gateway: Gateway, principal: Principal, job: Job) -> Callable[[VerbatimEncoder], Awaitable[None]]:
    """Return what to await before frames are sent: it remembers the id by which clients may ask for the response.

    Args:
        gateway: What all routes share.
        principal: Who gets the frames.
        job: Their job.
    """
    known: str | None = None

    async def remember(encoder: VerbatimEncoder) -> None:
        nonlocal known
        named = encoder.response_id
        if named is not None and named != known:
            await gateway.tailrace.access.response_ids.remember(principal.tenant, named, job.id)
            known = named

    return remember


def _asks_within(limit: int, api: Api, body: Mapping[str, Any]) -> bool:
    """Return whether a request asks for one answer, and for no more tokens than the limit in any of its fields."""
    asked = [tokens for name in api.limits if (tokens := body.get(name)) is not None]
    # To some servers, such as llama.cpp, a negative number is no limit at all.
    within = bool(asked) and all(type(tokens) is int and 0 <= tokens <= limit for tokens in asked)
    return within and body.get("n") in (None, 1)
