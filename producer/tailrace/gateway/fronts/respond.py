"""The response of a front to a request whose job is enqueued."""

from functools import partial
from typing import Any

from starlette.responses import Response

from tailrace.gateway.fronts.caller import Caller
from tailrace.gateway.fronts.failed_job import failed_job
from tailrace.gateway.fronts.form import JobForm
from tailrace.gateway.fronts.front import Api
from tailrace.gateway.fronts.new_job import FrontJob
from tailrace.gateway.fronts.translation import Translation
from tailrace.gateway.fronts.verbatim import verbatim_form
from tailrace.gateway.fronts.whole_response import WholeResponse
from tailrace.gateway.streaming import BEGINNING, stream_job


async def respond(caller: Caller, api: Api, enqueued: FrontJob, translation: Translation[Any, Any]) -> Response:
    """Answer a request, from the beginning of its job.

    Args:
        caller: Who asks.
        api: The API of the front.
        enqueued: The job.
        translation: The translation of the request.

    Returns:
        The response.

    Raises:
        JobNotFound: The job has no stream.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    job = enqueued.job
    form: JobForm[Any] = (
        verbatim_form(caller.gateway, caller.principal, api, job)
        if enqueued.is_verbatim
        else await translation.form_of(job)
    )
    # Without a key nobody finds the job again.
    cancels = caller.idempotency_key is None
    if not enqueued.is_streamed:
        return WholeResponse(caller.gateway, job, form, cancels=cancels)
    encoder = form.make()
    return await stream_job(
        caller.gateway,
        job,
        encoder,
        after=BEGINNING,
        can_move=False,
        cancels=cancels,
        refused=failed_job,
        before=partial(form.before, encoder),
    )
