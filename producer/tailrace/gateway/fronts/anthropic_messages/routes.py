"""The routes of messages."""

from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body
from starlette.responses import JSONResponse, Response

from tailrace import Job
from tailrace.api_kinds import ApiKind
from tailrace.encoders import AnthropicMessagesEncoder
from tailrace.gateway.fronts.anthropic_messages.body import CountTokensBody, MessageBody
from tailrace.gateway.fronts.anthropic_messages.examples import ANSWER, COUNTED, QUESTION
from tailrace.gateway.fronts.anthropic_messages.token_estimate import estimated_tokens
from tailrace.gateway.fronts.anthropic_messages.translation import NAMES, to_fields
from tailrace.gateway.fronts.caller import Calling
from tailrace.gateway.fronts.errors import failures
from tailrace.gateway.fronts.fields import Target
from tailrace.gateway.fronts.form import JobForm
from tailrace.gateway.fronts.front import Api, Front
from tailrace.gateway.fronts.given_body import DescribedBy
from tailrace.gateway.fronts.new_job import enqueue_for
from tailrace.gateway.fronts.respond import respond
from tailrace.gateway.fronts.translation import Translated, Translation
from tailrace.gateway.jobs import Shared, Writer

router: APIRouter = APIRouter(prefix="/v1/messages", tags=["Anthropic"])

API: Final = Api(
    kind="anthropic",
    translated=Front(name="anthropic-messages", version=1),
    verbatim=Front(name="anthropic-messages-verbatim", version=1),
    headers=("anthropic-beta", "anthropic-version"),
    limits=("max_tokens",),
)


@router.post(
    "",
    summary="Create a message",
    response_class=Response,
    responses={**ANSWER, **failures(400, 401, 404, 408, 409, 413, 429, 503, of_jobs=True)},
)
async def create(
    caller: Calling,
    body: Annotated[
        dict[str, Any], DescribedBy(MessageBody), Body(openapi_examples={"a question": {"value": QUESTION}})
    ],
) -> Response:
    """Enqueue a job, and answer in the form of Anthropic's Messages, streamed or not.

    A provider that speaks Messages gets the request as it is, and its answer is passed on as it is.

    Without an `Idempotency-Key` the job is cancelled once the client has been away for
    `TAILRACE_GATEWAY_LEAVE_SECONDS`. With one it goes on, and the same request gets the same answer from its
    beginning.
    """
    translation = _MessageTranslation(MessageBody, body)
    enqueued = await enqueue_for(caller, API, body, translation)
    return await respond(caller, API, enqueued, translation)


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


class _MessageTranslation(Translation[MessageBody, AnthropicMessagesEncoder]):
    async def fields_for(self, provider: str, kind: ApiKind | None) -> Translated:
        fields = to_fields(self.body, Target(provider, kind or "anthropic"))
        return Translated(fields=fields, max_output_tokens=self.body.max_tokens, names=NAMES)

    async def form_of(self, job: Job) -> JobForm[AnthropicMessagesEncoder]:
        make = partial(AnthropicMessagesEncoder, job.id, model=self.body.model)
        return JobForm(make=make, whole=lambda encoder: JSONResponse(encoder.message))
