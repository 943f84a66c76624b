"""`WholeResponse`: the response of a call that is not streamed, which waits for the ending of its job."""

import asyncio
from contextlib import suppress
from typing import Final, Generic, TypeVar

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tailrace import Completed, Job, KeepAlive
from tailrace.cursor import BEGINNING
from tailrace.encoders import Encoder
from tailrace.gateway.context import Gateway
from tailrace.gateway.errors import JOB_HEADER, ErrorCode, ErrorResponse
from tailrace.gateway.fronts.failed_job import failed_job, incomplete_answer
from tailrace.gateway.fronts.form import JobForm
from tailrace.gateway.fronts.whole_answer import WholeAnswer
from tailrace.gateway.lasting_tail import LastingTail

_Encoder = TypeVar("_Encoder", bound=Encoder)

_RETRY_SECONDS: Final = 1
"""After how many seconds a client may ask another gateway."""


class WholeResponse(Response, Generic[_Encoder]):
    """Waits for the ending of a job, and then sends its answer, or an error with a status of its own.

    The status is not known before the ending, so nothing is sent before it.

    Args:
        gateway: What all routes share.
        job: The job.
        form: How the API shows the job.
        cancels: True if the job is cancelled after its last reader has left.
    """

    can_move: bool = False
    """False: the client does not ask again by itself."""

    def __init__(
        self,
        gateway: Gateway,
        job: Job,
        form: JobForm[_Encoder],
        *,
        cancels: bool,
    ) -> None:
        super().__init__()
        self._gateway = gateway
        self._job = job
        self._answer = WholeAnswer(form.make)
        self._form = form
        self._cancels = cancels
        self._tail: LastingTail | None = None
        self._has_left = False
        self._ending: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Stop to wait: the gateway is about to end."""
        self._ending = self._ending or asyncio.create_task(self._stop())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, and send the response."""
        if self._cancels:
            self._gateway.leaving.join(self._job)
        self._gateway.draining.add(self)
        watching = asyncio.create_task(self._watch(receive))
        try:
            await self._follow()
        finally:
            watching.cancel()
            self._gateway.draining.discard(self)
            await self._stop()
            if self._cancels:
                is_left = self._answer.ending is None and self._ending is None
                self._gateway.leaving.leave(self._job, has_left=is_left)
        if not self._has_left:
            await (await self._response())(scope, receive, send)

    async def _follow(self) -> None:
        self._tail = tail = await LastingTail.open(self._job, BEGINNING)
        while self._answer.ending is None and not (self._ending or self._has_left):
            events = await tail.take()
            if not events:
                return
            for event in events:
                if not isinstance(event, KeepAlive):
                    self._answer.add(event)

    async def _response(self) -> Response:
        answer, job_id = self._answer, self._job.id
        if answer.ending is None:
            message = "This gateway is about to end. The job goes on."
            code = ErrorCode.SHUTTING_DOWN
            return ErrorResponse(503, code, message, retry_after_seconds=_RETRY_SECONDS, job_id=job_id)
        if not isinstance(answer.ending, Completed):
            return failed_job(answer.ending, job_id)
        if not answer.is_complete:
            return incomplete_answer(job_id)
        await self._form.before(answer.encoder)
        response = self._form.whole(answer.encoder)
        response.headers[JOB_HEADER] = job_id
        return response

    async def _watch(self, receive: Receive) -> None:
        """Wait until the client leaves."""
        # A body that is too large or too slow is the end, too: nobody has read the rest of it.
        with suppress(HTTPException):
            while (await receive())["type"] != "http.disconnect":
                pass
        self._has_left = True
        await self._stop()

    async def _stop(self) -> None:
        if self._tail is not None:
            await self._tail.aclose()
