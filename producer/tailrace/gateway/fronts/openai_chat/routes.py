"""The route of chat completions."""

from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body
from starlette.responses import JSONResponse, Response

from tailrace import Job
from tailrace.api_kinds import ApiKind
from tailrace.encoders import OpenAIChatEncoder
from tailrace.gateway.fronts.caller import Calling
from tailrace.gateway.fronts.errors import failures
from tailrace.gateway.fronts.fields import Target
from tailrace.gateway.fronts.form import JobForm
from tailrace.gateway.fronts.front import Api, Front
from tailrace.gateway.fronts.given_body import DescribedBy
from tailrace.gateway.fronts.new_job import enqueue_for
from tailrace.gateway.fronts.openai_chat.body import ChatCompletionBody
from tailrace.gateway.fronts.openai_chat.examples import ANSWER, QUESTION
from tailrace.gateway.fronts.openai_chat.translation import NAMES, max_output_tokens, to_fields
from tailrace.gateway.fronts.respond import respond
from tailrace.gateway.fronts.translation import Translated, Translation

router: APIRouter = APIRouter(prefix="/v1/chat/completions", tags=["OpenAI"])

API: Final = Api(
    kind="openai",
    translated=Front(name="openai-chat", version=1),
    verbatim=Front(name="openai-chat-verbatim", version=1),
    headers=("openai-beta",),
    limits=("max_completion_tokens", "max_tokens"),
)


@router.post(
    "",
    summary="Create a chat completion",
    response_class=Response,
    responses={**ANSWER, **failures(400, 401, 404, 408, 409, 413, 429, 503, of_jobs=True)},
)
async def create(
    caller: Calling,
    body: Annotated[
        dict[str, Any],
        DescribedBy(ChatCompletionBody),
        Body(openapi_examples={"a question": {"value": QUESTION}}),
    ],
) -> Response:
    """Enqueue a job, and answer in the form of OpenAI's Chat Completions, streamed or not.

    A provider that speaks Chat Completions gets the request as it is, and its answer is passed on as it is.

    Without an `Idempotency-Key` the job is cancelled once the client has been away for
    `TAILRACE_GATEWAY_LEAVE_SECONDS`. With one it goes on, and the same request gets the same answer from its
    beginning.
    """
    translation = _ChatTranslation(ChatCompletionBody, body)
    enqueued = await enqueue_for(caller, API, body, translation)
    return await respond(caller, API, enqueued, translation)


class _ChatTranslation(Translation[ChatCompletionBody, OpenAIChatEncoder]):
    async def fields_for(self, provider: str, kind: ApiKind | None) -> Translated:
        fields = to_fields(self.body, Target(provider, kind or "openai"))
        return Translated(fields=fields, max_output_tokens=max_output_tokens(self.body), names=NAMES)

    async def form_of(self, job: Job) -> JobForm[OpenAIChatEncoder]:
        options = self.body.stream_options
        make = partial(
            OpenAIChatEncoder,
            job.id,
            model=self.body.model,
            include_usage=options is not None and bool(options.include_usage),
        )
        return JobForm(make=make, whole=lambda encoder: JSONResponse(encoder.completion))
