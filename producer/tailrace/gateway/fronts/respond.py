"""The response of a front to a request whose job is enqueued."""

from collections.abc import Callable
from typing import Any, TypeVar

from starlette.responses import Response

from tailrace import Job
from tailrace.encoders import Encoder
from tailrace.gateway.context import Gateway
from tailrace.gateway.fronts.failed_job import failed_job
from tailrace.gateway.fronts.whole_response import WholeResponse
from tailrace.gateway.streaming import BEGINNING, stream_job

_Encoder = TypeVar("_Encoder", bound=Encoder)


async def respond(
    gateway: Gateway,
    job: Job,
    make: Callable[[], _Encoder],
    read: Callable[[_Encoder], dict[str, Any]],
    *,
    is_streamed: bool,
    cancels: bool,
) -> Response:
    """Answer a request, from the beginning of its job.

    Args:
        gateway: What all routes share.
        job: The job.
        make: Makes an encoder of the protocol.
        read: Returns the object that a client gets whose call is not streamed, from the encoder with the answer.
        is_streamed: True if the client wants a stream.
        cancels: True if the job is cancelled after its last reader has left.

    Returns:
        The response.

    Raises:
        JobNotFound: The job has no stream.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    if is_streamed:
        return await stream_job(
            gateway, job, make(), after=BEGINNING, can_move=False, cancels=cancels, refused=failed_job
        )
    return WholeResponse(gateway, job, make, read, cancels=cancels)
