"""What a job asks for, validated at the door: what is accepted here, a worker can run."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, Unpack, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    ValidationError,
    model_validator,
)

from tailrace.errors import InvalidRequest, NewerRequest, RequestTooLarge
from tailrace.request.capabilities import builtin_kind, stranger, unsupported
from tailrace.request.fallback import Fallback, ModelName, ProviderName
from tailrace.request.guards import Guards, excessive
from tailrace.request.json_values import JsonObject
from tailrace.request.limits import Buffering, Timeouts
from tailrace.request.messages import Conversation
from tailrace.request.openai_form import path_in
from tailrace.request.request_fields import RequestFields
from tailrace.request.tools import OutputSchema, ToolChoice, Tools
from tailrace.request.validation import CLOSED, Problem, described, refusal, retold

_Stop = Annotated[str, StringConstraints(min_length=1, max_length=256)]


_UNKNOWN = frozenset({"extra_forbidden", "union_tag_invalid", "literal_error", "enum"})
"""Pydantic's words for fields and values that are not on its lists."""


class GenerationRequest(BaseModel):
    """One generation: which model of which provider, and what it is told.

    What the provider or a fallback cannot do, and what of their answers a job cannot carry, is refused here for the
    providers `openai`, `openai-responses` and `anthropic`, and by the worker for those that only its settings know.

    Args:
        **fields: The fields below. Any sequence stands for a list, and a dict for a part. Messages and tools may be in
            OpenAI's own form.

    Raises:
        pydantic.ValidationError: A `ValueError` that names each field at fault.
    """

    # A service logs what it did not expect, and prompts stay out of logs.
    model_config: ClassVar[ConfigDict] = CLOSED | ConfigDict(
        frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    provider: ProviderName
    """`openai` (Chat Completions), `openai-responses` (Responses), `anthropic` (Messages), or a name of the workers'
    `TAILRACE_PROVIDERS`."""
    model: ModelName
    """The model, by the provider's own name."""
    messages: Conversation
    """The conversation so far, oldest first; use `answer.message` for the turns of the model. Messages in OpenAI's own
    form are translated where they mean the same, and refused with what to write instead. Chat Completions takes
    documents only as data, and only text from tools; OpenAI's own server gets no reasoning back. Anthropic gets all
    system messages as one, before the others."""
    max_output_tokens: int | None = Field(default=None, ge=1, lt=2**31)
    """Where the provider stops (finish reason `length`), its thinking included. Anthropic needs one: 4,096 where this
    is not given."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """How freely the model chooses its words: 0 to 2, with Anthropic to 1. Models that think may refuse it."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """It chooses among the likeliest words alone that together have this probability: above 0, to 1."""
    stop: Annotated[list[_Stop], Field(max_length=4)] = []
    """Up to 4 texts at which the model stops (finish reason `stop`). Anthropic takes none of white space alone,
    Responses takes none."""
    tools: Tools = []
    """Functions of the caller's that the model may call (finish reason `tool_calls`), also in OpenAI's own form."""
    tool_choice: ToolChoice | None = None
    """Whether it calls them: as it finds right (`auto`), at least one (`required`), this one (a name), or `none`.
    Without it the provider's own default holds."""
    output_schema: OutputSchema | None = None
    """The answer's text is JSON of this schema. Models that cannot do that refuse it."""
    stream: bool = True
    """Off: one plain call, and the whole answer comes as one piece."""
    extra: JsonObject = {}
    """What else goes into the body that the provider gets, untouched, such as `{"reasoning_effort": "low"}`. Names that
    tailrace writes from the fields above are refused here; `tools`, `tool_choice`, and what holds the provider's own
    form of the output (`response_format`, `text`, `output_config`) only where the field is set too. A fallback to
    another provider goes without it."""
    on_interrupt: Literal["restart", "continue", "fail"] = "restart"
    """What happens where an answer breaks off: it begins again in a new attempt (`restart`); it goes on from the text
    so far where the provider can do that, else begins again (`continue`); or the job fails, and the text so far stays
    readable (`fail`)."""
    fallbacks: Annotated[list[Fallback], Field(max_length=8)] = []
    """Up to 8 other models to go on with, in this order, where the provider fails; a `notice` says so."""

    timeouts: Timeouts | None = None
    """When a silent provider is cut; it can tighten what the worker is set to, never loosen it."""
    buffering: Buffering | None = None
    """Text comes in larger pieces; without it, as the provider sends it."""
    guards: Guards = []
    """What must not be shown, in the order in which it is applied to the answer."""
    input_guards: Guards = []
    """The same for the messages, before the provider is called."""
    boxes: bool = False
    """Bounding boxes in the text come as `box` events too."""

    if TYPE_CHECKING:

        def __init__(self, **fields: Unpack[RequestFields]) -> None: ...

    def falling_back(self, fallback: Fallback) -> Self:
        """The request as it goes to a fallback: `extra` is of a provider's API, and goes along to no other."""
        extra = self.extra if fallback["provider"] == self.provider else {}
        return self.model_copy(update={**fallback, "fallbacks": [], "extra": extra})

    def to_json(self, *, max_bytes: int) -> str:
        """What is stored: only what differs from the defaults, so that a later version reads it the same way.

        Raises:
            RequestTooLarge: It is longer than `max_bytes` in UTF-8.
            InvalidRequest: It holds text that is not Unicode (a lone surrogate).
        """
        try:
            encoded = self.model_dump_json(exclude_defaults=True)
            size = len(encoded.encode())
        except ValueError as error:
            raise InvalidRequest(f"The request cannot be written as UTF-8: {error}.") from None
        if size > max_bytes:
            raise RequestTooLarge(
                f"The request has {size:,} bytes as JSON and the limit is {max_bytes:,}: "
                "shorten the messages, or raise TAILRACE_MAX_REQUEST_BYTES."
            )
        return encoded

    @classmethod
    def from_json(cls, encoded: str | bytes) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            NewerRequest: It has fields, or words in them, that this version does not know.
            InvalidRequest: It does not validate; the message names the fields.
        """
        try:
            return cls.model_validate_json(encoded)
        except ValidationError as error:
            is_newer = any(line["type"] in _UNKNOWN for line in error.errors())
            raise (NewerRequest if is_newer else InvalidRequest)(described(error)) from None

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
        # Tools in `extra` are of a form that only the provider knows.
        if self.tool_choice is None or "tools" in self.extra:
            return []
        if not self.tools:
            return [Problem(("tool_choice",), "there are no `tools` to choose from")]
        if not isinstance(self.tool_choice, str) and self.tool_choice["name"] not in {t["name"] for t in self.tools}:
            return [Problem(("tool_choice", "name"), "none of `tools` is called so")]
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
