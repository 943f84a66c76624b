"""The routes of responses: create one, look at it, read its events from any number, cancel it, delete it."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, Path, Query
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from tailrace import EntryId, Job
from tailrace.api_kinds import ApiKind
from tailrace.encoders import OpenAIResponsesEncoder, VerbatimEncoder
from tailrace.encoders.openai_responses import response_id as own_id
from tailrace.gateway.errors import JOB_HEADER
from tailrace.gateway.fronts.caller import Caller, Calling
from tailrace.gateway.fronts.errors import failures
from tailrace.gateway.fronts.fields import Target
from tailrace.gateway.fronts.form import JobForm
from tailrace.gateway.fronts.given_body import DescribedBy
from tailrace.gateway.fronts.new_job import enqueue_for
from tailrace.gateway.fronts.openai_responses.asked import said_by
from tailrace.gateway.fronts.openai_responses.examples import NEW_RESPONSE, OBJECT, OBJECT_OR_EVENTS
from tailrace.gateway.fronts.openai_responses.input_items import items_of, page_of
from tailrace.gateway.fronts.openai_responses.input_messages import InputMessages
from tailrace.gateway.fronts.openai_responses.new_response import NewResponse
from tailrace.gateway.fronts.openai_responses.previous import continued, is_translated
from tailrace.gateway.fronts.openai_responses.references import refers_here, with_items
from tailrace.gateway.fronts.openai_responses.response_job import (
    API,
    ResponseJob,
    encoders_of,
    json_of,
    translated_request,
)
from tailrace.gateway.fronts.openai_responses.translation import remembered, request_fields
from tailrace.gateway.fronts.respond import respond
from tailrace.gateway.fronts.translation import Translated, Translation
from tailrace.gateway.fronts.verbatim import remembering
from tailrace.gateway.jobs import Canceller, Reader, Shared, Writer
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
    caller: Calling,
    body: Annotated[
        dict[str, Any], DescribedBy(NewResponse), Body(openapi_examples={"a question": {"value": NEW_RESPONSE}})
    ],
) -> Response:
    """Enqueue a job, and answer in the form of OpenAI's Responses: with `stream` by events, with `background` at once.

    A provider that speaks Responses gets the request as it is, and its answer is passed on as it is. The request is
    translated nevertheless if it has `background`, or continues or refers to a response that was translated.

    With `background` or an `Idempotency-Key` the job goes on, whoever leaves. Otherwise it is cancelled once the client
    has been away for `TAILRACE_GATEWAY_LEAVE_SECONDS`.
    """
    gateway, principal, background = caller.gateway, caller.principal, bool(body.get("background"))
    only_here = (
        background
        or refers_here(body.get("input"))
        or await is_translated(gateway, principal, body.get("previous_response_id"))
    )
    translation = _ResponseTranslation(caller, body)
    enqueued = await enqueue_for(caller, API, body, translation, only_here=only_here)
    if not background:
        return await respond(caller, API, enqueued, translation)
    if enqueued.is_streamed:
        encoder = (await encoders_of(enqueued.job))()
        # Also of a job that ended before any attempt: its events can be asked for again.
        return await stream_job(gateway, enqueued.job, encoder, after=BEGINNING, can_move=False)
    found = await ResponseJob.find(gateway, principal, own_id(enqueued.job.id))
    return await found.now(_QUEUED if enqueued.job.is_new else None)


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
    found = await ResponseJob.find(gateway, principal, response_id)
    if not stream:
        return await found.now()
    encoder = await found.encoder(starting_after)
    before = None
    if isinstance(encoder, VerbatimEncoder):
        before = partial(remembering(gateway, principal, found.job), encoder)
    return await stream_job(gateway, found.job, encoder, after=BEGINNING, can_move=False, before=before)


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
    job = (await ResponseJob.find(gateway, principal, response_id)).job
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
    found = await ResponseJob.find(gateway, principal, response_id)
    await found.job.cancel()
    return await found.ended(_CANCEL_SECONDS)


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
    job = (await ResponseJob.find(gateway, principal, response_id)).job
    await job.delete()
    return Response(status_code=204, headers={JOB_HEADER: job.id})


@router.post("/{response_id}", include_in_schema=False)
async def not_found(response_id: ResponseId) -> Response:
    """Tell that OpenAI's other routes, such as `/v1/responses/compact`, are not here: 404, and not 405."""
    raise HTTPException(404, f"There is no route /v1/responses/{response_id[:64]}.")


class _ResponseTranslation(Translation[NewResponse, OpenAIResponsesEncoder]):
    def __init__(self, caller: Caller, given: Mapping[str, Any]) -> None:
        super().__init__(NewResponse, given)
        self._caller = caller

    async def fields_for(self, provider: str, kind: ApiKind | None) -> Translated:
        new = self.body
        gateway, principal = self._caller.gateway, self._caller.principal
        said = InputMessages(await with_items(gateway, principal, new.input))
        messages: Any = said.messages
        if new.previous_response_id is not None:
            messages = await continued(gateway, principal, new.previous_response_id, said.messages)
        fields = request_fields(new, messages, Target(provider, kind or "openai"))
        return Translated(
            fields=fields,
            max_output_tokens=new.max_output_tokens,
            names=_NAMES,
            path_of=partial(said.path_of, before=len(fields["messages"]) - len(said.messages)),
            remembered=remembered(new),
        )

    async def form_of(self, job: Job) -> JobForm[OpenAIResponsesEncoder]:
        return JobForm(make=await encoders_of(job), whole=lambda encoder: JSONResponse(encoder.response))
