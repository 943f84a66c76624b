"""The route of chat completions."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body
from starlette.responses import Response

from tailrace.encoders import OpenAIChatEncoder
from tailrace.gateway.fronts.errors import failures
from tailrace.gateway.fronts.front import Front
from tailrace.gateway.fronts.new_job import enqueue_for
from tailrace.gateway.fronts.openai_chat.body import ChatCompletionBody
from tailrace.gateway.fronts.openai_chat.examples import ANSWER, QUESTION
from tailrace.gateway.fronts.openai_chat.translation import NAMES, max_output_tokens, to_fields
from tailrace.gateway.fronts.respond import respond
from tailrace.gateway.jobs import IdempotencyKey, Shared, Writer

router: APIRouter = APIRouter(prefix="/v1/chat/completions", tags=["OpenAI"])

FRONT: Final = Front(name="openai-chat", version=1)


@router.post(
    "",
    summary="Create a chat completion",
    response_class=Response,
    responses={**ANSWER, **failures(400, 401, 404, 408, 409, 413, 429, 503, of_jobs=True)},
)
async def create(
    gateway: Shared,
    principal: Writer,
    body: Annotated[ChatCompletionBody, Body(openapi_examples={"a question": {"value": QUESTION}})],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Enqueue a job, and answer in the form of OpenAI's Chat Completions, streamed or not.

    Without an `Idempotency-Key` the job is cancelled once the client has been away for
    `TAILRACE_GATEWAY_LEAVE_SECONDS`. With one it goes on, and the same request gets the same answer from its
    beginning.
    """
    asked, entry = await gateway.models.find(body.model)
    fields = {
        **entry.fields(asked, max_output_tokens=max_output_tokens(body)),
        **to_fields(body, provider=entry.provider),
    }
    job = await enqueue_for(gateway, principal, FRONT, fields, idempotency_key=idempotency_key, names=NAMES)
    include_usage = body.stream_options is not None and bool(body.stream_options.include_usage)

    def encoder() -> OpenAIChatEncoder:
        return OpenAIChatEncoder(job.id, model=body.model, include_usage=include_usage)

    return await respond(
        gateway, job, encoder, _completion, is_streamed=bool(body.stream), cancels=idempotency_key is None
    )


def _completion(encoder: OpenAIChatEncoder) -> dict[str, Any]:
    return encoder.completion
