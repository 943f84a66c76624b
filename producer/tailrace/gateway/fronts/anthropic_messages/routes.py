"""The routes of messages."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body
from starlette.responses import JSONResponse, Response

from tailrace.encoders import AnthropicMessagesEncoder
from tailrace.gateway.fronts.anthropic_messages.body import CountTokensBody, MessageBody
from tailrace.gateway.fronts.anthropic_messages.examples import ANSWER, COUNTED, QUESTION
from tailrace.gateway.fronts.anthropic_messages.token_estimate import estimated_tokens
from tailrace.gateway.fronts.anthropic_messages.translation import NAMES, to_fields
from tailrace.gateway.fronts.errors import failures
from tailrace.gateway.fronts.front import Front
from tailrace.gateway.fronts.new_job import enqueue_for
from tailrace.gateway.fronts.respond import respond
from tailrace.gateway.jobs import IdempotencyKey, Shared, Writer

router: APIRouter = APIRouter(prefix="/v1/messages", tags=["Anthropic"])

FRONT: Final = Front(name="anthropic-messages", version=1)


@router.post(
    "",
    summary="Create a message",
    response_class=Response,
    responses={**ANSWER, **failures(400, 401, 404, 408, 409, 413, 429, 503, of_jobs=True)},
)
async def create(
    gateway: Shared,
    principal: Writer,
    body: Annotated[MessageBody, Body(openapi_examples={"a question": {"value": QUESTION}})],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Enqueue a job, and answer in the form of Anthropic's Messages, streamed or not.

    Without an `Idempotency-Key` the job is cancelled once the client has been away for
    `TAILRACE_GATEWAY_LEAVE_SECONDS`. With one it goes on, and the same request gets the same answer from its
    beginning.
    """
    asked, entry = await gateway.models.find(body.model)
    fields = {
        **entry.fields(asked, max_output_tokens=body.max_tokens),
        **to_fields(body, provider=entry.provider),
    }
    job = await enqueue_for(gateway, principal, FRONT, fields, idempotency_key=idempotency_key, names=NAMES)

    def encoder() -> AnthropicMessagesEncoder:
        return AnthropicMessagesEncoder(job.id, model=body.model)

    return await respond(
        gateway, job, encoder, _message, is_streamed=bool(body.stream), cancels=idempotency_key is None
    )


@router.post(
    "/count_tokens",
    summary="Estimate the tokens of a message",
    response_class=JSONResponse,
    responses=failures(400, 401, 404, 408, 413, 503),
)
async def count_tokens(
    gateway: Shared,
    _: Writer,
    body: Annotated[CountTokensBody, Body(openapi_examples={"a question": {"value": COUNTED}})],
) -> Response:
    """Estimate the input tokens: one for each 3 bytes of text, and 1,600 for each image.

    It is no count, and usually above it. Documents are refused.
    """
    await gateway.models.find(body.model)
    return JSONResponse({"input_tokens": estimated_tokens(body)})


def _message(encoder: AnthropicMessagesEncoder) -> dict[str, Any]:
    return encoder.message
