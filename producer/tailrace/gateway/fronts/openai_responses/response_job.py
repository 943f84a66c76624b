"""The jobs of responses: found by the ids of their responses, and read as response objects."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from tailrace import EntryId, GenerationRequest, InvalidJobId, Job, JobNotFound, JobStatus
from tailrace.encoders import OpenAIResponsesEncoder
from tailrace.encoders.openai_responses import response_id
from tailrace.gateway.context import Gateway
from tailrace.gateway.errors import JOB_HEADER
from tailrace.gateway.fronts.failed_job import incomplete_answer
from tailrace.gateway.fronts.front import LABEL, Front
from tailrace.gateway.fronts.openai_responses.asked import asked_of
from tailrace.gateway.fronts.whole_answer import WholeAnswer
from tailrace.gateway.jobs import visible_job
from tailrace.gateway.principal import Principal

FRONT: Final = Front(name="openai-responses", version=1)
"""The mapping of events to the events of a response."""
_PREFIX: Final = response_id("")


async def visible_response(gateway: Gateway, principal: Principal, asked: str) -> tuple[Job, JobStatus]:
    """Find the job of a response that the principal may see.

    Args:
        gateway: What all routes share.
        principal: Who asks.
        asked: The id of the response, as the client wrote it.

    Returns:
        The job, and its status.

    Raises:
        InvalidJobId: The id is malformed.
        JobNotFound: There is no such response, or it is another tenant's.
        Unauthorized: The principal's capability is for another job or conversation.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    if not asked.startswith(_PREFIX):
        raise InvalidJobId(f"{asked[:80]!r} is not the id of a response.")
    job, status = await visible_job(gateway, principal, asked.removeprefix(_PREFIX))
    if status.labels.get(LABEL) != FRONT.label:
        raise JobNotFound(f"Job {job.id!r} was not enqueued as a response that this gateway can read.")
    return job, status


async def translated_request(job: Job) -> GenerationRequest:
    """Return the request of a response.

    Args:
        job: The job.

    Raises:
        JobNotFound: The job has no record, or its request is not one that this front made.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    request = await job.request()
    if not isinstance(request, GenerationRequest):
        raise JobNotFound(f"Job {job.id!r} was not enqueued as a response that this gateway can read.")
    return request


async def encoders_of(job: Job) -> Callable[..., OpenAIResponsesEncoder]:
    """Return what makes the encoders of a response, from what is stored with its job.

    Args:
        job: The job.

    Returns:
        The class with all arguments but `starting_after`.

    Raises:
        JobNotFound: The job has no record.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    request, front = await asyncio.gather(translated_request(job), job.front())
    return partial(OpenAIResponsesEncoder, job.id, asked=asked_of(request, front))


async def response_now(job: Job, cursor: EntryId) -> Response:
    """Return the response object as it is now.

    Args:
        job: The job.
        cursor: The id of the entry up to which the stream is read.

    Returns:
        The object, or an error if Redis has lost a part of the answer.

    Raises:
        JobNotFound: The job went away.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    return _response(job, await answer_until(job, cursor))


async def answer_until(job: Job, cursor: EntryId) -> WholeAnswer[OpenAIResponsesEncoder]:
    """Read the answer of a response.

    Args:
        job: The job.
        cursor: The id of the entry up to which the stream is read.

    Raises:
        JobNotFound: The job went away.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    answer = WholeAnswer(await encoders_of(job))
    async with job.tail() as tail:
        async for event in tail:
            answer.add(event)
            if event.id >= cursor:
                break
    return answer


async def response_ended(job: Job, seconds: float) -> Response:
    """Return the response object when it has ended.

    Args:
        job: The job.
        seconds: How long to wait at most.

    Returns:
        The object, as it is then; or an error if Redis has lost a part of the answer.

    Raises:
        JobNotFound: The job went away.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    answer = WholeAnswer(await encoders_of(job))
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), job.tail() as tail:
            async for event in tail:
                answer.add(event)
    return _response(job, answer)


def _response(job: Job, answer: WholeAnswer[OpenAIResponsesEncoder]) -> Response:
    if not answer.is_complete:
        return incomplete_answer(job.id)
    return json_of(job, answer.encoder.response)


def json_of(job: Job, content: dict[str, Any]) -> Response:
    """Return an object about a response.

    Args:
        job: Its job.
        content: The object.
    """
    return JSONResponse(content, headers={JOB_HEADER: job.id})
