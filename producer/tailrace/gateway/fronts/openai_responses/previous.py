"""`previous_response_id`: the conversation of a former response, from the job that is kept of it."""

from collections.abc import Sequence
from typing import Any, Final

from tailrace import InvalidRequest, JobNotFound, JobState, Message
from tailrace.encoders.openai_responses import response_id
from tailrace.gateway.context import Gateway
from tailrace.gateway.fronts.openai_responses.asked import said_by
from tailrace.gateway.fronts.openai_responses.response_job import ResponseJob, translated_request
from tailrace.gateway.principal import Principal

_ACTIVE: Final = frozenset({JobState.QUEUED, JobState.RUNNING})


async def is_translated(gateway: Gateway, principal: Principal, previous: object) -> bool:
    """Return whether only tailrace knows an earlier response, because its request was translated.

    Args:
        gateway: What all routes share.
        principal: Who asks.
        previous: The id of the earlier response, as the client wrote it.

    Returns:
        True if it was translated. False if it is its provider's own, or if the gateway knows no such response: the
        provider may know it, or refuses it.

    Raises:
        Unauthorized: The principal's capability is for another job or conversation.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    if not isinstance(previous, str):
        return False
    try:
        found = await ResponseJob.find(gateway, principal, previous)
    except JobNotFound:
        return False
    return found.is_translated


async def continued(
    gateway: Gateway, principal: Principal, previous: str, said: list[dict[str, Any]]
) -> Sequence[Message]:
    """Put new messages after the conversation of an earlier response.

    The request of each job has its whole conversation, so that one job is read, however long the chain is, and the
    limit of a request limits the chain.

    Args:
        gateway: What all routes share.
        principal: Who asks.
        previous: The id of the earlier response.
        said: The new messages.

    Returns:
        The messages of the earlier request without its instructions, its answer, and the new messages.

    Raises:
        JobNotFound: There is no such response: it expired, was deleted, is another tenant's, or was not to be stored.
        InvalidRequest: The response has not ended, or is its provider's own, or a part of it was lost, or a call of it
            has no output.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    found = await ResponseJob.find(gateway, principal, previous)
    job, front = found.job, await found.job.front()
    if front.get("said", {}).get("store") is False:
        raise JobNotFound(f"Response {response_id(job.id)!r} was not to be stored, so nothing can follow it.")
    if found.status.state in _ACTIVE:
        raise InvalidRequest("previous_response_id: this response is not finished. Wait until it has ended.")
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
