"""The routes of events: those of one job, or of several jobs in one stream."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from tailrace import EntryId
from tailrace.encoders import MAX_JOBS, parse_jobs_cursor
from tailrace.gateway.errors import failures
from tailrace.gateway.event_docs import EVENTS, JOBS_EVENTS
from tailrace.gateway.jobs import JobId, Reader, Shared, visible_job
from tailrace.gateway.several_jobs import stream_several
from tailrace.gateway.streaming import BEGINNING, stream_events

router: APIRouter = APIRouter(prefix="/v1", tags=["events"])

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="The cursor after which the events begin. An `EventSource` sends it when it reconnects.",
    ),
]
After = Annotated[
    str | None,
    Query(description="The same cursor, for a first request. `Last-Event-ID` takes precedence.", examples=["1-17"]),
]
Jobs = Annotated[
    list[str],
    Query(
        min_length=1,
        max_length=MAX_JOBS,
        description=f"The id of a job. Repeat the parameter for each job, {MAX_JOBS} at most. `ID:CURSOR` names the "
        "cursor after which its events begin; `Last-Event-ID` and `after`, which are for all jobs, take precedence.",
        examples=["hX3vJ0c2TqK9bWm5yRzA1g:1-17"],
    ),
]


def cursor_of(last_event_id: str | None, after: str | None) -> EntryId:
    """Read the cursor of a client.

    Args:
        last_event_id: The header, which a browser sends when it reconnects.
        after: The query parameter, for a first request.

    Returns:
        The cursor; the beginning if there is none.

    Raises:
        InvalidCursor: The text is not a cursor.
    """
    text = last_event_id or after
    return EntryId.parse(text) if text else BEGINNING


@router.get(
    "/jobs/{job_id}/events",
    summary="Stream the events of a job",
    response_class=Response,
    responses={**EVENTS, **failures(400, 401, 404, 503)},
)
async def stream_one(
    job_id: JobId, gateway: Shared, principal: Reader, last_event_id: LastEventId = None, after: After = None
) -> Response:
    """Stream the events after a cursor as server-sent events, up to the ending.

    A client that leaves does not stop the job.
    """
    job, _ = await visible_job(gateway, principal, job_id)
    return await stream_events(gateway, job, cursor_of(last_event_id, after))


@router.get(
    "/events",
    summary="Stream the events of several jobs",
    response_class=Response,
    responses={**JOBS_EVENTS, **failures(400, 401, 404, 503)},
)
async def stream_jobs(
    job: Jobs, gateway: Shared, principal: Reader, last_event_id: LastEventId = None, after: After = None
) -> Response:
    """Stream the events of several jobs as server-sent events. Each event names its `job`.

    Over HTTP/1.1, browsers open only six connections to a host.
    """
    named = {job_id: cursor for job_id, _, cursor in (each.partition(":") for each in job)}
    jobs = [(await visible_job(gateway, principal, job_id))[0] for job_id in named]
    text = last_event_id or after
    cursors = (
        parse_jobs_cursor(text, named)
        if text
        else {job_id: EntryId.parse(cursor) if cursor else BEGINNING for job_id, cursor in named.items()}
    )
    return await stream_several(gateway, jobs, cursors)
