"""The routes of jobs: enqueue, read, cancel, regenerate, delete, list."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from tailrace import BrokerUnavailable, GenerationRequest, InvalidRequest, Job, JobState, JobStatus, VerbatimRequest
from tailrace.gateway.context import Gateway, gateway_of
from tailrace.gateway.errors import JOB_HEADER, failures
from tailrace.gateway.examples import NEW_JOB, NEW_VERBATIM_JOB
from tailrace.gateway.job_object import AnswerObject, JobList, JobObject, NewJobObject, Outcome, WholeJobObject
from tailrace.gateway.json_response import json_response
from tailrace.gateway.limits import enqueue_new, within_limits
from tailrace.gateway.new_job_body import Cancel, NewJob
from tailrace.gateway.principal import Principal, Scope, require
from tailrace.gateway.urls import job_urls

router: APIRouter = APIRouter(prefix="/v1/jobs", tags=["jobs"])

JobId = Annotated[str, Path(description="The id of a job.", examples=["hX3vJ0c2TqK9bWm5yRzA1g"])]
Shared = Annotated[Gateway, Depends(gateway_of)]
Reader = Annotated[Principal, Depends(require(Scope.READ))]
Canceller = Annotated[Principal, Depends(require(Scope.CANCEL))]
Writer = Annotated[Principal, Depends(require(Scope.WRITE))]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=256,
        alias="Idempotency-Key",
        description="A name for this request, 1 to 256 characters. A repetition with the same key and body gets "
        "the first job, and no new job is enqueued. The same key with another body gets 409.",
    ),
]

_ENDED: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})
_CHANGEABLE: Final = frozenset((*GenerationRequest.model_fields, *VerbatimRequest.model_fields))
_LOOK_SECONDS: Final = 10.0
"""How long reading the status of a job may take, in seconds, including the wait for other requests that read one."""
_MAX_LISTED: Final = 1_000


@router.post(
    "",
    summary="Enqueue a job",
    status_code=201,
    response_model=NewJobObject,
    response_description="The job was enqueued.",
    responses={
        200: {
            "model": NewJobObject,
            "description": "No job was enqueued: this is the first job under the `Idempotency-Key`.",
        },
        **failures(400, 401, 408, 409, 413, 429, 503),
    },
)
async def enqueue(
    request: Request,
    gateway: Shared,
    principal: Writer,
    new: Annotated[
        NewJob, Body(openapi_examples={"a question": {"value": NEW_JOB}, "verbatim": {"value": NEW_VERBATIM_JOB}})
    ],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Enqueue a job for the workers, and respond without waiting for its answer."""
    job = await enqueue_new(gateway.tailrace, principal, new, idempotency_key=idempotency_key)
    return await _created(request, gateway, principal, job, is_new=job.is_new)


@router.get(
    "",
    summary="List jobs",
    response_model=JobList,
    response_description="The jobs.",
    responses=failures(400, 401, 503),
)
async def list_jobs(
    gateway: Shared,
    principal: Writer,
    conversation: Annotated[str | None, Query(description="Only jobs of this conversation.")] = None,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    limit: Annotated[
        int, Query(ge=1, le=_MAX_LISTED, description="How many jobs at most, 1 to 1,000; by default 50.")
    ] = 50,
) -> Response:
    """List the jobs of the tenant, the newest first. By default a job is kept for an hour after its ending."""
    found = await gateway.tailrace.jobs(tenant=principal.tenant, conversation=conversation, state=state, limit=limit)
    return json_response(JobList(jobs=[JobObject.of(status) for status in found]))


@router.get(
    "/{job_id}",
    summary="Read a job",
    response_model=WholeJobObject,
    response_description="The job.",
    responses=failures(401, 404, 503),
)
async def look_at(job_id: JobId, gateway: Shared, principal: Reader) -> Response:
    """Return the status of the job and, once it has ended, its whole answer."""
    job, status = await visible_job(gateway, principal, job_id)
    answer = AnswerObject.of(await job.answer()) if status.state in _ENDED else None
    return json_response(WholeJobObject.of(status, answer=answer), job_id=job.id)


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    response_model=Outcome,
    response_description="What the request did.",
    responses=failures(400, 401, 404, 503),
)
async def cancel(
    job_id: JobId, gateway: Shared, principal: Canceller, why: Annotated[Cancel | None, Body()] = None
) -> Response:
    """Cancel the job: at once if no attempt has started, otherwise within 100 ms. Its text so far stays readable.

    A job that has ended stays as it is.
    """
    job, _ = await visible_job(gateway, principal, job_id)
    outcome = await job.cancel(why.reason if why else "")
    return json_response(Outcome(outcome=outcome), job_id=job.id)


@router.post(
    "/{job_id}/regenerate",
    summary="Run a job's request again",
    status_code=201,
    response_model=NewJobObject,
    response_description="The new job was enqueued.",
    responses=failures(400, 401, 404, 408, 409, 413, 429, 503),
)
async def regenerate(
    request: Request,
    job_id: JobId,
    gateway: Shared,
    principal: Writer,
    changes: Annotated[
        dict[str, Any] | None,
        Body(
            description="Fields of the job's request, which are replaced; without a body, none changes.",
            openapi_examples={"warmer": {"value": {"temperature": 1.0}}},
        ),
    ] = None,
) -> Response:
    """Enqueue the job's request again as a new job, with some fields changed.

    The new job belongs to the same conversation. If a job of that conversation is active, such as this one, the
    response is 409. Without a conversation, this job goes on if it still runs.
    """
    job, _ = await visible_job(gateway, principal, job_id)
    fields = changes or {}
    if strangers := sorted(fields.keys() - _CHANGEABLE):
        raise InvalidRequest(f"{strangers[0]}: a request has no such field.")
    regenerated = await within_limits(gateway.tailrace, principal, lambda: job.regenerate(**fields))
    return await _created(request, gateway, principal, regenerated, is_new=True)


@router.delete(
    "/{job_id}",
    summary="Delete a job",
    status_code=204,
    response_class=Response,
    response_description="The job was deleted.",
    responses=failures(401, 404, 503),
)
async def delete(job_id: JobId, gateway: Shared, principal: Writer) -> Response:
    """Delete everything of the job: its request, its events and its answer. A worker that runs it stops."""
    job, _ = await visible_job(gateway, principal, job_id)
    await job.delete()
    return Response(status_code=204, headers={JOB_HEADER: job.id})


async def visible_job(gateway: Gateway, principal: Principal, job_id: str) -> tuple[Job, JobStatus]:
    """Find a job that the principal may see.

    Args:
        gateway: What all routes share.
        principal: Who asks.
        job_id: The id, as the client wrote it.

    Returns:
        The job, and its status.

    Raises:
        InvalidJobId: The id is malformed.
        JobNotFound: There is no such job, or it is another tenant's. The response is the same as for a malformed id.
        Unauthorized: The principal's capability is for another job or conversation.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    principal.check_job_id(job_id)
    job = gateway.tailrace.job(job_id)
    try:
        async with asyncio.timeout(_LOOK_SECONDS), gateway.asking:
            status = await job.status()
    except TimeoutError:
        raise BrokerUnavailable(f"Redis did not return the status within {_LOOK_SECONDS:g} s.") from None
    principal.check_job(status)
    return job, status


async def _created(request: Request, gateway: Gateway, principal: Principal, job: Job, *, is_new: bool) -> Response:
    status = await job.status()
    urls = await job_urls(request, gateway.capabilities, principal, job.id, status.conversation)
    created = NewJobObject.of(status, **asdict(urls))
    return json_response(created, status=201 if is_new else 200, job_id=job.id)
