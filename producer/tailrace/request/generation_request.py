"""`GenerationRequest`: what a job asks for. Every request that is valid here can be run by a worker."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Unpack, cast

from pydantic import Field, ModelWrapValidatorHandler, StringConstraints, ValidationError, model_validator

from tailrace.api_kinds import builtin_kind
from tailrace.errors import InvalidRequest
from tailrace.request.capabilities import stranger, unsupported
from tailrace.request.fallback import Fallback, ModelName, ProviderName
from tailrace.request.guards import Guards, excessive
from tailrace.request.json_values import JsonObject
from tailrace.request.limits import Buffering, Timeouts
from tailrace.request.messages import Message, Messages, ToolMessage
from tailrace.request.next_turn import Answered, NextTurn, next_turn
from tailrace.request.openai_form import path_in
from tailrace.request.request_fields import RequestFields
from tailrace.request.stored_request import StoredRequest
from tailrace.request.tools import OutputSchema, ToolChoice, Tools
from tailrace.request.validation import Problem, refusal, retold

_Stop = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class GenerationRequest(StoredRequest):
    """One generation: a model, its provider, and the conversation.

    A request is refused if the provider or a fallback cannot do what it asks, or if a job could not carry the answer.
    For the providers `openai`, `openai-responses` and `anthropic` this is checked here, for providers that only the
    workers' settings define by the worker.

    Args:
        **fields: The fields below. A list may be given as any sequence, and a part as a dict. Messages and tools may be
            in OpenAI's own form.

    Raises:
        pydantic.ValidationError: A field is not valid. It is a `ValueError` that names each such field.
    """

    provider: ProviderName
    """The provider: `openai` (Chat Completions), `openai-responses` (Responses), `anthropic` (Messages), or a name from
    the workers' `TAILRACE_PROVIDERS`."""
    model: ModelName
    """The model, as the provider writes its name."""
    messages: Messages
    """The conversation so far, oldest first; use `answer.message` for the turns of the model. Messages in OpenAI's own
    form are translated if they mean the same; otherwise the error says what to write. Chat Completions accepts
    documents only as data, and only text from tools; OpenAI's own server gets no reasoning back. Anthropic gets all
    system messages as one, before the others."""
    max_output_tokens: int | None = Field(default=None, ge=1, lt=2**31)
    """The number of tokens after which the provider stops (finish reason `length`), its reasoning included. Anthropic
    requires one, so it gets 4,096 if this is not given."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """The sampling temperature, 0 to 2, with Anthropic 0 to 1. Models that reason may refuse it."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """The model samples only from the likeliest tokens with this total probability, above 0 and up to 1."""
    stop: Annotated[list[_Stop], Field(max_length=4)] = []
    """Up to 4 texts at which the model stops (finish reason `stop`). Anthropic accepts none of only white space, and
    Responses accepts none."""
    tools: Tools = []
    """Functions of the caller that the model may call (finish reason `tool_calls`), also in OpenAI's own form."""
    tool_choice: ToolChoice | None = None
    """Which tools the model calls: its own choice (`auto`), at least one (`required`), this one (a name), or `none`. If
    it is not given, the provider's default applies."""
    output_schema: OutputSchema | None = None
    """The JSON schema of the answer's text. Models that cannot do that refuse the request."""
    stream: bool = True
    """False for one plain call, whose answer arrives as one piece."""
    extra: JsonObject = {}
    """More fields for the body that the provider gets, unchanged, such as `{"reasoning_effort": "low"}`. Names that
    tailrace writes from the fields above are refused; `tools`, `tool_choice` and the provider's own form of the output
    (`response_format`, `text`, `output_config`) are refused only if the field is set too. A fallback to another
    provider does not get them."""
    on_interrupt: Literal["restart", "continue", "fail"] = "restart"
    """What happens if an answer breaks off: a new attempt begins it again (`restart`); a new attempt continues the text
    so far if the provider can do that, and begins again otherwise (`continue`); or the job fails, and the text so far
    can be read (`fail`). If the answer breaks off because its worker is lost or stopped, another worker makes the new
    attempt, with `fail` too, which then begins the answer again."""
    fallbacks: Annotated[list[Fallback], Field(max_length=8)] = []
    """Up to 8 other models that are called in this order if the provider fails; a `notice` reports each."""

    timeouts: Timeouts | None = None
    """How long the provider may be silent, and how long it may take. They can only shorten the worker's limits."""
    buffering: Buffering | None = None
    """Send text in larger pieces. If it is not given, pieces are sent as the provider sends them."""
    guards: Guards = []
    """The guards of the answer, in the order in which they are applied."""
    input_guards: Guards = []
    """The guards of the messages, applied before the provider is called."""
    boxes: bool = False
    """True to send bounding boxes in the text as `box` events too."""

    if TYPE_CHECKING:

        def __init__(self, **fields: Unpack[RequestFields]) -> None: ...

    def followed_by(
        self,
        answer: Answered,
        *,
        tool_results: Mapping[str, Any] | Sequence[ToolMessage] = (),
        messages: Sequence[Message | dict[str, Any]] = (),
    ) -> Self:
        """Make the request of the next turn: these messages, the answer, the results of its tools, and new messages.

        All other fields stay as they are, `tool_choice` too. The answer has to be read to its ending: a call whose
        arguments are cut needs no result, and is omitted without one.

        Args:
            answer: The `Answer` to this request.
            tool_results: The results of the answer's tool calls: text or a JSON value by the `call_id` of each call. A
                result with images, or of a tool that failed, is given as a message of the role `tool`; then all of them
                are given as a sequence of such messages.
            messages: The messages after that, as in `messages`. They may have results too.

        Returns:
            A new request.

        Raises:
            InvalidRequest: A call has no result, a result has no call, or a message is not valid. The message of the
                error names each of them.
        """
        turn = next_turn(answer.message, tool_results, messages)
        if isinstance(turn, NextTurn):
            try:
                return self.model_validate(
                    {**self.model_dump(exclude_defaults=True), "messages": [*self.messages, *turn.messages]}
                )
            except ValidationError as error:
                problems = list(turn.problems(error, len(self.messages)))
        else:
            problems = turn
        raise InvalidRequest("; ".join(map(str, problems)))

    def falling_back(self, fallback: Fallback) -> Self:
        """Make the request that is sent to a fallback.

        Args:
            fallback: The provider and the model to call.

        Returns:
            A copy without fallbacks, and without `extra` if the provider is another one: its API has other fields.
        """
        extra = self.extra if fallback["provider"] == self.provider else {}
        return self.model_copy(update={**fallback, "fallbacks": [], "extra": extra})

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        problems = self._of_tool_choice()
        if excess := excessive([*self.guards, *self.input_guards]):
            problems.append(Problem(("input_guards",), f"together with `guards`, {excess}"))
        for request in (self, *map(self.falling_back, self.fallbacks)):
            name = request.provider if request is self else f"the fallback {request.provider}"
            kind = builtin_kind(request.provider)
            problems += unsupported(kind, request, provider=name) if kind else []
        if problems:
            raise refusal(dict.fromkeys(problems))
        return self

    def _of_tool_choice(self) -> list[Problem]:
        # Only the provider knows the form of tools in `extra`.
        if self.tool_choice is None or "tools" in self.extra:
            return []
        if not self.tools:
            return [Problem(("tool_choice",), "there are no `tools` to choose from: give some, or omit it")]
        if not isinstance(self.tool_choice, str) and self.tool_choice["name"] not in {t["name"] for t in self.tools}:
            return [Problem(("tool_choice", "name"), "no tool in `tools` has this name")]
        return []

    @model_validator(mode="wrap")
    @classmethod
    def _tell(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            given = cast("dict[str, object]", data) if isinstance(data, dict) else {}
            provider = given.get("provider")
            raise retold(
                error, given, stranger=lambda name: stranger(name, given.get(name), provider), path_in=path_in
            ) from None
