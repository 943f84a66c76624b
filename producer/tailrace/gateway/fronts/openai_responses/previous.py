"""`previous_response_id`: the conversation of a former response, from the job that is kept of it."""

from collections.abc import Sequence
from typing import Any, Final

from tailrace import InvalidRequest, JobNotFound, JobState, Message
from tailrace.encoders.openai_responses import response_id
from tailrace.gateway.context import Gateway
from tailrace.gateway.fronts.openai_responses.asked import said_by
from tailrace.gateway.fronts.openai_responses.response_job import translated_request, visible_response
from tailrace.gateway.principal import Principal

_ACTIVE: Final = frozenset({JobState.QUEUED, JobState.RUNNING})


async def continued(
    gateway: Gateway, principal: Principal, previous: str, said: list[dict[str, Any]]
) -> Sequence[Message]:
    """Put new messages after the conversation of a former response.

    The request of each job has its whole conversation, so that one job is read, however long the chain is, and the
    limit of a request limits the chain.

    Args:
        gateway: What all routes share.
        principal: Who asks.
        previous: The id of the former response.
        said: The new messages.

    Returns:
        The messages of the former request without its instructions, its answer, and the new messages.

    Raises:
        JobNotFound: There is no such response: it expired, was deleted, is another tenant's, or was not to be stored.
        InvalidRequest: The response goes on still, a part of it was lost, or a call of it has no output.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    job, status = await visible_response(gateway, principal, previous)
    front = await job.front()
    if front.get("said", {}).get("store") is False:
        raise JobNotFound(f"Response {response_id(job.id)!r} was not to be stored, so nothing can follow it.")
    if status.state in _ACTIVE:
        raise InvalidRequest("previous_response_id: this response goes on still. Wait until it has ended.")
    request, answer = await translated_request(job), await job.answer()
    if not answer.complete:
        raise InvalidRequest(
            "previous_response_id: a part of this response was lost. Give the conversation as `input`."
        )
    try:
        followed = request.followed_by(answer, messages=said)
    except InvalidRequest as error:
        raise InvalidRequest(f"input: {error}") from None
    return said_by(followed, front)
