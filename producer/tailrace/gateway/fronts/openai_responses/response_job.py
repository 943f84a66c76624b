"""`ResponseJob`: the job of a response, found by the id of the response, and read as a response object."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, Self

from starlette.responses import Response

from tailrace import (
    EntryId,
    Event,
    GenerationRequest,
    InvalidJobId,
    InvalidRequest,
    Job,
    JobNotFound,
    JobStatus,
    VerbatimRequest,
)
from tailrace.encoders import OpenAIResponsesEncoder, VerbatimEncoder
from tailrace.encoders.openai_responses import response_id
from tailrace.gateway.context import Gateway
from tailrace.gateway.errors import JOB_HEADER
from tailrace.gateway.fronts.failed_job import incomplete_answer
from tailrace.gateway.fronts.front import LABEL, Api, Front
from tailrace.gateway.fronts.openai_responses.asked import asked_of
from tailrace.gateway.fronts.openai_responses.verbatim_response import VerbatimResponse
from tailrace.gateway.fronts.whole_answer import WholeAnswer
from tailrace.gateway.jobs import visible_job
from tailrace.gateway.principal import Principal

API: Final = Api(
    kind="openai-responses",
    translated=Front(name="openai-responses", version=1),
    verbatim=Front(name="openai-responses-verbatim", version=1),
    headers=("openai-beta",),
    limits=("max_output_tokens",),
)
_PREFIX: Final = response_id("")


class ResponseReader(Protocol):
    """Reads the stream of a response, from its beginning."""

    @property
    def is_complete(self) -> bool:
        """False if Redis has lost a part of the answer."""
        ...

    @property
    def response(self) -> dict[str, Any] | None:
        """The response as it is after the events so far; `None` if the provider has sent none."""
        ...

    def add(self, event: Event) -> None:
        """Add the next event."""
        ...


class _TranslatedResponse(WholeAnswer[OpenAIResponsesEncoder]):
    @property
    def response(self) -> dict[str, Any]:
        return self.encoder.response


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseJob:
    """The job of a response."""

    gateway: Gateway
    """What all routes share."""
    principal: Principal
    """Who asks for the response."""
    asked_id: str
    """The id of the response, by which it was found."""
    job: Job
    """The job."""
    status: JobStatus
    """Its status when it was found."""

    @classmethod
    async def find(cls, gateway: Gateway, principal: Principal, asked_id: str) -> Self:
        """Find the job of a response that the principal may see.

        Args:
            gateway: What all routes share.
            principal: Who asks.
            asked_id: The id of the response, as the client wrote it: one that has the id of the job, or the provider's.

        Returns:
            The job.

        Raises:
            JobNotFound: There is no such response, or it is another tenant's.
            Unauthorized: The principal's capability is for another job or conversation.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        job, status = await _found(gateway, principal, asked_id)
        if status.labels.get(LABEL) not in {API.translated.label, API.verbatim.label}:
            raise JobNotFound(f"Job {job.id!r} was not enqueued as a response that this gateway can read.")
        return cls(gateway=gateway, principal=principal, asked_id=asked_id, job=job, status=status)

    @property
    def is_translated(self) -> bool:
        """False if the response is its provider's own."""
        return self.status.labels[LABEL] == API.translated.label

    async def encoder(self, starting_after: int | None) -> OpenAIResponsesEncoder | VerbatimEncoder:
        """Return the encoder for the events of the response after a number.

        Args:
            starting_after: The number of the last event that the client has; `None` if it has none.

        Returns:
            The encoder.

        Raises:
            InvalidRequest: The response is the provider's own and was not streamed, so it has no events.
            JobNotFound: The job has no record.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        request = await self.job.request()
        if not isinstance(request, VerbatimRequest):
            return (await encoders_of(self.job))(starting_after=starting_after)
        if not request.stream:
            raise InvalidRequest("stream: this response was not created with `stream`, so it has no events.")
        return VerbatimEncoder(API.kind, starting_after=starting_after)

    async def now(self, cursor: EntryId | None = None) -> Response:
        """Return the response object as it was at some moment.

        Args:
            cursor: The id of the entry up to which the stream is read; by default the last one when the job was found.

        Returns:
            The object, or an error if Redis has lost a part of the answer.

        Raises:
            JobNotFound: The job went away, or the provider has not sent a response yet.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        return await self._shown(await self.answer(cursor))

    async def answer(self, cursor: EntryId | None = None) -> ResponseReader:
        """Read the answer as it was at some moment.

        Args:
            cursor: The id of the entry up to which the stream is read; by default the last one when the job was found.

        Returns:
            The reader of the stream.

        Raises:
            JobNotFound: The job went away.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        reader, last = await _reader_of(self.job), cursor or self.status.cursor
        async with self.job.tail() as tail:
            async for event in tail:
                reader.add(event)
                if event.id >= last:
                    break
        return reader

    async def ended(self, seconds: float) -> Response:
        """Return the response object when it has ended.

        Args:
            seconds: How long to wait at most.

        Returns:
            The object, as it is then; or an error if Redis has lost a part of the answer.

        Raises:
            JobNotFound: The job went away, or the provider has not sent a response yet.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        reader = await _reader_of(self.job)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self.job.tail() as tail:
                async for event in tail:
                    reader.add(event)
        return await self._shown(reader)

    async def _shown(self, reader: ResponseReader) -> Response:
        if not reader.is_complete:
            return incomplete_answer(self.job.id)
        response = reader.response
        if response is None:
            raise JobNotFound(f"The provider has not sent a response for job {self.job.id!r} yet.")
        shown_id = response.get("id")
        if isinstance(shown_id, str) and shown_id != self.asked_id:
            # The provider's second answer, after a restart, has an id of its own.
            await self.gateway.tailrace.access.response_ids.remember(self.principal.tenant, shown_id, self.job.id)
        return json_of(self.job, response)


async def _found(gateway: Gateway, principal: Principal, asked_id: str) -> tuple[Job, JobStatus]:
    if asked_id.startswith(_PREFIX):
        # The ids of providers may look the same.
        with suppress(InvalidJobId, JobNotFound):
            return await visible_job(gateway, principal, asked_id.removeprefix(_PREFIX))
    job_id = await gateway.tailrace.access.response_ids.find(principal.tenant, asked_id)
    if job_id is None:
        raise JobNotFound(f"There is no response {asked_id[:80]!r}.")
    return await visible_job(gateway, principal, job_id)


async def translated_request(job: Job) -> GenerationRequest:
    """Return the request of a response that is not its provider's own.

    Args:
        job: The job.

    Raises:
        InvalidRequest: The response is the provider's own.
        JobNotFound: The job has no record.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    request = await job.request()
    if isinstance(request, VerbatimRequest):
        raise InvalidRequest("The response is its provider's own: only the provider knows its conversation.")
    return request


async def encoders_of(job: Job) -> Callable[..., OpenAIResponsesEncoder]:
    """Return what makes the encoders of a response that is translated, from what is stored with its job.

    Args:
        job: The job.

    Returns:
        The class with all arguments but `starting_after`.

    Raises:
        InvalidRequest: The response is the provider's own.
        JobNotFound: The job has no record.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    request, front = await asyncio.gather(translated_request(job), job.front())
    return partial(OpenAIResponsesEncoder, job.id, asked=asked_of(request, front))


async def _reader_of(job: Job) -> ResponseReader:
    if isinstance(await job.request(), VerbatimRequest):
        return VerbatimResponse()
    return _TranslatedResponse(await encoders_of(job))


def json_of(job: Job, content: dict[str, Any]) -> Response:
    """Return an object about a response.

    Args:
        job: Its job.
        content: The object.
    """
    # A provider's own object may have NaN and lone surrogates. `JSONResponse` can write neither.
    text = json.dumps(content, separators=(",", ":"))
    return Response(text, headers={JOB_HEADER: job.id}, media_type="application/json")
