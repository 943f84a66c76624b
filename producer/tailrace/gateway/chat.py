"""The routes of the AI SDK's `useChat`: start a turn, read its answer again after a reload, stop it."""

import time
from typing import Annotated, Final

from fastapi import APIRouter, Body, Header, Path, Query
from pydantic import ValidationError
from starlette.responses import Response

from tailrace import Ending, EntryId, InvalidRequest, Job, JobNotFound, JobStatus
from tailrace.asgi import last_restart
from tailrace.encoders import AiSdkEncoder, ReplayFrom
from tailrace.gateway.context import Gateway
from tailrace.gateway.conversations import conversation_of, stop_conversation
from tailrace.gateway.errors import described, failures
from tailrace.gateway.event_docs import CHAT
from tailrace.gateway.examples import NEW_TURN
from tailrace.gateway.job_object import Outcome
from tailrace.gateway.jobs import Canceller, IdempotencyKey, Reader, Shared, Writer
from tailrace.gateway.limits import enqueue_new
from tailrace.gateway.new_job_body import NewJobBody
from tailrace.gateway.settings import GatewaySettings
from tailrace.gateway.streaming import BEGINNING, stream_job
from tailrace.gateway.ui_message import NewTurn
from tailrace.gateway.ui_messages import to_messages

router: APIRouter = APIRouter(prefix="/v1/chat", tags=["AI SDK"])

ChatId = Annotated[str, Path(description="The id of a chat.", examples=["chat-42"])]
AskedVersion = Annotated[
    int | None,
    Query(ge=6, le=7, description="The major version of the npm package `ai`: 6 (default) or 7."),
]
HeaderVersion = Annotated[
    int | None,
    Header(
        ge=6,
        le=7,
        alias="X-AI-SDK-Version",
        description="The same version as a header. `useChat` can send it with all of its requests.",
    ),
]

_REPLAYED_SECONDS: Final = 60.0
"""For how long after its ending an answer is replayed, in seconds, to a page that was away."""


@router.post(
    "",
    summary="Start a turn of a chat",
    response_class=Response,
    responses={**CHAT, **failures(400, 401, 408, 409, 413, 429, 503)},
)
async def start(
    gateway: Shared,
    principal: Writer,
    turn: Annotated[NewTurn, Body(openapi_examples={"a question": {"value": NEW_TURN}})],
    idempotency_key: IdempotencyKey = None,
    sdk_version: AskedVersion = None,
    header_version: HeaderVersion = None,
) -> Response:
    """Enqueue a job for the chat's messages, and stream its answer. A client that leaves does not stop the job.

    If another job of the chat is active, it is cancelled and its text is kept. With `if_active` set to `reject`, the
    response is 409 instead.
    """
    new = _new_job(turn, gateway.settings)
    job = await enqueue_new(gateway.tailrace, principal, new, idempotency_key=idempotency_key)
    return await _stream(gateway, job, sdk_version or header_version)


@router.get(
    "/{chat}/stream",
    summary="Read the answer of a chat again",
    response_class=Response,
    responses={
        **CHAT,
        204: {"description": "No job is active, and none ended within the last minute."},
        **failures(400, 401, 503),
    },
)
async def resume(
    chat: ChatId,
    gateway: Shared,
    principal: Reader,
    sdk_version: AskedVersion = None,
    header_version: HeaderVersion = None,
) -> Response:
    """Stream the answer of the active job from its beginning, or of a job that ended within the last minute."""
    conversation = conversation_of(gateway, principal, chat)
    job = await conversation.active()
    if job is None:
        job = await _ended_lately(gateway, await conversation.recent(limit=1))
    return Response(status_code=204) if job is None else await _stream(gateway, job, sdk_version or header_version)


@router.post(
    "/{chat}/stop",
    summary="Stop a chat",
    response_model=Outcome,
    response_description="What the request did.",
    responses=failures(400, 401, 503),
)
async def stop(chat: ChatId, gateway: Shared, principal: Canceller) -> Response:
    """Cancel the active job of the chat. Its text so far is kept.

    `stop()` of `useChat` does not call this route: it only drops the connection.
    """
    return await stop_conversation(conversation_of(gateway, principal, chat), None)


async def _stream(gateway: Gateway, job: Job, sdk_version: int | None) -> Response:
    encoder = AiSdkEncoder(job.id, sdk_version=7 if sdk_version == 7 else 6)
    after = await last_restart(job) if encoder.replay_from is ReplayFrom.LAST_RESTART else BEGINNING
    return await stream_job(gateway, job, encoder, after=after, can_move=False)


async def _ended_lately(gateway: Gateway, newest: list[JobStatus]) -> Job | None:
    """Return the newest job of a chat, if it has ended within the last minute."""
    for status in newest:
        job = gateway.tailrace.job(status.job_id)
        before = EntryId(status.cursor.attempt, status.cursor.seq - 1)
        try:
            async with job.tail(after=before) as tail:
                last = await anext(tail, None)
        except JobNotFound:
            return None
        if isinstance(last, Ending) and last.at / 1000 > time.time() - _REPLAYED_SECONDS:
            return job
    return None


def _new_job(turn: NewTurn, settings: GatewaySettings) -> NewJobBody:
    fields = {"if_active": "interrupt", **(turn.model_extra or {})}
    if "conversation" in fields:
        raise InvalidRequest("conversation: not allowed here, because it is the `id` of the chat. Omit it.")
    fields["conversation"] = turn.id
    fields["provider"] = turn.provider or settings.chat_provider
    fields["model"] = turn.model or settings.chat_model
    if None in (fields["provider"], fields["model"]):
        raise InvalidRequest(
            "provider, model: give both in the request's body, or set TAILRACE_CHAT_PROVIDER and TAILRACE_CHAT_MODEL "
            "of the gateway."
        )
    try:
        return NewJobBody.model_validate({**fields, "messages": to_messages(turn.messages)})
    except ValidationError as error:
        raise InvalidRequest(described(error.errors())) from None
