"""The routes of responses: create one, look at it, read its events from any number, cancel it, delete it."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, Path, Query
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tailrace import EntryId, Job
from tailrace.encoders import OpenAIResponsesEncoder
from tailrace.gateway.context import Gateway
from tailrace.gateway.errors import JOB_HEADER
from tailrace.gateway.fronts.errors import failures
from tailrace.gateway.fronts.new_job import enqueue_for
from tailrace.gateway.fronts.openai_responses.asked import said_by
from tailrace.gateway.fronts.openai_responses.examples import NEW_RESPONSE, OBJECT, OBJECT_OR_EVENTS
from tailrace.gateway.fronts.openai_responses.input_items import items_of, page_of
from tailrace.gateway.fronts.openai_responses.input_messages import InputMessages
from tailrace.gateway.fronts.openai_responses.new_response import NewResponse
from tailrace.gateway.fronts.openai_responses.previous import continued
from tailrace.gateway.fronts.openai_responses.references import with_items
from tailrace.gateway.fronts.openai_responses.response_job import (
    FRONT,
    encoders_of,
    json_of,
    response_ended,
    response_now,
    translated_request,
    visible_response,
)
from tailrace.gateway.fronts.openai_responses.translation import remembered, request_fields
from tailrace.gateway.fronts.respond import respond
from tailrace.gateway.jobs import Canceller, IdempotencyKey, Reader, Shared, Writer
from tailrace.gateway.principal import Principal
from tailrace.gateway.streaming import BEGINNING, stream_job

router: APIRouter = APIRouter(prefix="/v1/responses", tags=["OpenAI"])

ResponseId = Annotated[str, Path(description="The id of a response.", examples=["resp_hX3vJ0c2TqK9bWm5yRzA1g"])]

_QUEUED: Final = EntryId(0, 1)
"""The id of the first entry of each job."""
_NAMES: Final[Mapping[str, str]] = {"output_schema": "text.format", "extra": "request"}
_CANCEL_SECONDS: Final = 10.0
"""How long a worker may take to end a job that is cancelled, until the response is returned as it is."""


@router.post(
    "",
    summary="Create a response",
    response_class=Response,
    responses={**OBJECT_OR_EVENTS, **failures(400, 401, 404, 408, 409, 413, 429, 503, of_jobs=True)},
)
async def create(
    gateway: Shared,
    principal: Writer,
    new: Annotated[NewResponse, Body(openapi_examples={"a question": {"value": NEW_RESPONSE}})],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Enqueue a job, and answer in the form of OpenAI's Responses: with `stream` by events, with `background` at once.

    With `background` or an `Idempotency-Key` the job goes on, whoever leaves. Otherwise it is cancelled once the client
    has been away for `TAILRACE_GATEWAY_LEAVE_SECONDS`.
    """
    job = await _enqueue(gateway, principal, new, idempotency_key)
    if new.background and not new.stream:
        return await response_now(job, _QUEUED if job.is_new else (await job.status()).cursor)
    make = await encoders_of(job)
    if new.background:
        # Also of a job that ended before any attempt: its events can be asked for again.
        return await stream_job(gateway, job, make(), after=BEGINNING, can_move=False)
    cancels = idempotency_key is None
    return await respond(gateway, job, make, _object, is_streamed=bool(new.stream), cancels=cancels)


@router.get(
    "/{response_id}",
    summary="Look at a response",
    response_class=Response,
    responses={**OBJECT_OR_EVENTS, **failures(400, 401, 404, 503, of_jobs=True)},
)
async def look_at(
    response_id: ResponseId,
    gateway: Shared,
    principal: Reader,
    stream: Annotated[bool, Query(description="True for the events of the response.")] = False,
    starting_after: Annotated[
        int | None, Query(ge=-1, description="The `sequence_number` of the last event that the client has.")
    ] = None,
) -> Response:
    """Return the response as it is now, or its events after any number, for as long as it is kept."""
    job, status = await visible_response(gateway, principal, response_id)
    if not stream:
        return await response_now(job, status.cursor)
    encoder = (await encoders_of(job))(starting_after=starting_after)
    return await stream_job(gateway, job, encoder, after=BEGINNING, can_move=False)


@router.get(
    "/{response_id}/input_items",
    summary="List the input of a response",
    response_class=Response,
    responses={**OBJECT, **failures(400, 401, 404, 503)},
)
async def list_input(
    response_id: ResponseId,
    gateway: Shared,
    principal: Reader,
    order: Annotated[Literal["asc", "desc"], Query(description="`desc` for the newest item first.")] = "desc",
    after: Annotated[str | None, Query(description="The id of the last item of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="How many items at most.")] = 20,
) -> Response:
    """List the items of the conversation, with those of the responses before, and without the instructions."""
    job, _ = await visible_response(gateway, principal, response_id)
    said = said_by(await translated_request(job), await job.front())
    return json_of(job, page_of(items_of(said, job.id), order=order, after=after, limit=limit))


@router.post(
    "/{response_id}/cancel",
    summary="Cancel a response",
    response_class=Response,
    responses={**OBJECT, **failures(400, 401, 404, 503, of_jobs=True)},
)
async def cancel(response_id: ResponseId, gateway: Shared, principal: Canceller) -> Response:
    """Cancel the response, and return it with what it said. One that has ended stays as it is."""
    job, _ = await visible_response(gateway, principal, response_id)
    await job.cancel()
    return await response_ended(job, _CANCEL_SECONDS)


@router.delete(
    "/{response_id}",
    summary="Delete a response",
    status_code=204,
    response_class=Response,
    response_description="The response is gone.",
    responses=failures(401, 404, 503),
)
async def delete(response_id: ResponseId, gateway: Shared, principal: Writer) -> Response:
    """Delete all that is kept of the response. A worker that runs it stops."""
    job, _ = await visible_response(gateway, principal, response_id)
    await job.delete()
    return Response(status_code=204, headers={JOB_HEADER: job.id})


@router.post("/{response_id}", include_in_schema=False)
async def not_found(response_id: ResponseId) -> Response:
    """Tell that OpenAI's other routes, such as `/v1/responses/compact`, are not here: 404, and not 405."""
    raise HTTPException(404, f"There is no route /v1/responses/{response_id[:64]}.")


async def _enqueue(gateway: Gateway, principal: Principal, new: NewResponse, idempotency_key: str | None) -> Job:
    model, entry = await gateway.models.find(new.model)
    said = InputMessages(await with_items(gateway, principal, new.input))
    messages: Any = said.messages
    if new.previous_response_id is not None:
        messages = await continued(gateway, principal, new.previous_response_id, said.messages)
    fields = {
        **entry.fields(model, max_output_tokens=new.max_output_tokens),
        **request_fields(new, messages, provider=entry.provider),
    }
    return await enqueue_for(
        gateway,
        principal,
        FRONT,
        fields,
        idempotency_key=idempotency_key,
        names=_NAMES,
        path_of=partial(said.path_of, before=len(fields["messages"]) - len(said.messages)),
        remembered=remembered(new),
    )


def _object(encoder: OpenAIResponsesEncoder) -> dict[str, Any]:
    return encoder.response
