"""The routes of conversations: read the jobs, stop the active one, stream the active one."""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Body, Path, Query
from starlette.responses import Response

from tailrace import Conversation, EntryId, InvalidCursor, JobState, JobStatus
from tailrace.encoders import parse_jobs_cursor
from tailrace.gateway.context import Gateway
from tailrace.gateway.errors import failures
from tailrace.gateway.event_docs import JOBS_EVENTS
from tailrace.gateway.events import After, LastEventId
from tailrace.gateway.job_object import ConversationObject, JobObject, Outcome
from tailrace.gateway.jobs import Canceller, Reader, Shared
from tailrace.gateway.json_response import json_response
from tailrace.gateway.new_job_body import Cancel
from tailrace.gateway.principal import Principal
from tailrace.gateway.several_jobs import stream_several
from tailrace.gateway.streaming import BEGINNING

router: APIRouter = APIRouter(prefix="/v1/conversations", tags=["conversations"])

_MAX_RECENT: Final = 20
"""The number of newest jobs to which the cursor of a client may belong."""

ConversationId = Annotated[str, Path(description="The id of a conversation.", examples=["chat-42"])]


@router.get(
    "/{conversation}",
    summary="Read a conversation",
    response_model=ConversationObject,
    response_description="The conversation.",
    responses=failures(400, 401, 503),
)
async def look_at(
    conversation: ConversationId,
    gateway: Shared,
    principal: Reader,
    limit: Annotated[int, Query(ge=1, le=100, description="How many jobs at most, 1 to 100; by default 20.")] = 20,
) -> Response:
    """Return the active job and the recent jobs of the conversation. One that was never used has neither."""
    found = conversation_of(gateway, principal, conversation)
    recent = [JobObject.of(status) for status in await found.recent(limit=limit)]
    active = await found.active()
    return json_response(
        ConversationObject(
            id=conversation,
            active=next((job for job in recent if active is not None and job.id == active.id), None),
            jobs=recent,
        )
    )


@router.post(
    "/{conversation}/stop",
    summary="Stop a conversation",
    response_model=Outcome,
    response_description="What the request did.",
    responses=failures(400, 401, 503),
)
async def stop(
    conversation: ConversationId,
    gateway: Shared,
    principal: Canceller,
    why: Annotated[Cancel | None, Body()] = None,
) -> Response:
    """Cancel the active job of the conversation. Its text so far stays readable."""
    return await stop_conversation(conversation_of(gateway, principal, conversation), why)


@router.get(
    "/{conversation}/stream",
    summary="Stream the active job of a conversation",
    response_class=Response,
    responses={**JOBS_EVENTS, 204: {"description": "No job is active."}, **failures(400, 401, 503)},
)
async def stream(
    conversation: ConversationId,
    gateway: Shared,
    principal: Reader,
    last_event_id: LastEventId = None,
    after: After = None,
) -> Response:
    """Stream the events of the active job as server-sent events. Each event names its `job`.

    The response ends with the ending of the job. A client that reconnects with a cursor first gets the rest of the job
    of that cursor. When it reconnects after an ending, it gets the next active job, or 204.
    """
    found = conversation_of(gateway, principal, conversation)
    cursor = last_event_id or after
    if cursor:
        for status in await found.recent(limit=_MAX_RECENT):
            cursors = _going_on(cursor, status)
            if cursors is not None:
                return await stream_several(gateway, [gateway.tailrace.job(status.job_id)], cursors)
    job = await found.active()
    return Response(status_code=204) if job is None else await stream_several(gateway, [job], {job.id: BEGINNING})


def conversation_of(gateway: Gateway, principal: Principal, conversation: str) -> Conversation:
    """Find a conversation that the principal may see.

    Args:
        gateway: What all routes share.
        principal: Who asks.
        conversation: The id of the conversation.

    Returns:
        The conversation of the principal's tenant.

    Raises:
        InvalidRequest: The id is not valid.
        Unauthorized: The principal's capability is for another conversation.
    """
    principal.check_conversation(conversation)
    return gateway.tailrace.conversation(conversation, tenant=principal.tenant)


async def stop_conversation(conversation: Conversation, why: Cancel | None) -> Response:
    """Cancel the active job of a conversation.

    Args:
        conversation: The conversation.
        why: The reason, if the client gives one.

    Returns:
        The response, with the outcome `idle` if no job was active.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    outcome = await conversation.stop(why.reason if why else "")
    return json_response(Outcome(outcome=outcome or "idle"))


def _going_on(cursor: str, status: JobStatus) -> Mapping[str, EntryId] | None:
    """Return where a cursor of the conversation's stream is, if it is in this job and not at its ending."""
    try:
        cursors = parse_jobs_cursor(cursor, [status.job_id])
    except InvalidCursor:
        return None
    has_more = cursors[status.job_id] < status.cursor or status.state in {JobState.QUEUED, JobState.RUNNING}
    return cursors if has_more else None
