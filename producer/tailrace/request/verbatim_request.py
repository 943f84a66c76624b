"""`VerbatimRequest`: a request for the provider's own API, whose answer keeps the provider's own frames."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Self, Unpack, cast

from pydantic import AfterValidator, Field, ModelWrapValidatorHandler, TypeAdapter, ValidationError, model_validator

from tailrace.api_kinds import ApiKind, builtin_kind
from tailrace.request.fallback import Fallback, ModelName, ProviderName
from tailrace.request.guards import Guards
from tailrace.request.headers import Headers
from tailrace.request.json_values import JsonObject
from tailrace.request.limits import Timeouts
from tailrace.request.request_fields import VerbatimFields
from tailrace.request.stored_request import StoredRequest
from tailrace.request.validation import Path, Problem, refusal, retold

_model_name: TypeAdapter[str] = TypeAdapter(ModelName)


def _names_model(body: JsonObject) -> JsonObject:
    try:
        _model_name.validate_python(body.get("model"), strict=True)
    except ValidationError:
        kind = "refused" if "model" in body else "missing"
        why = "Input should be the name of a model, 1 to 256 characters"
        raise refusal([Problem(("model",), why)], kind=kind) from None
    return body


def _leave_text(guards: Guards) -> Guards:
    problems = [
        Problem((index,), f"`{guard['type']}` changes text, and a verbatim answer stays as it is: omit it")
        for index, guard in enumerate(guards)
        if guard["type"] not in {"block", "moderate"}
    ]
    if problems:
        raise refusal(problems)
    return guards


class VerbatimRequest(StoredRequest):
    """One generation, whose body is written for the provider's own API.

    The provider gets the body as it is, and readers get the provider's own frames, in the field `raw` of the events,
    beside the text and the other fields that each event has.

    Args:
        **fields: The fields below. A list may be given as any sequence, and a part as a dict.

    Raises:
        pydantic.ValidationError: A field is not valid. It is a `ValueError` that names each such field.
    """

    provider: ProviderName
    """The provider: `openai` (Chat Completions), `openai-responses` (Responses), `anthropic` (Messages), or a name from
    the workers' `TAILRACE_PROVIDERS`."""
    body: Annotated[JsonObject, AfterValidator(_names_model)]
    """The body that the provider gets, with the fields of its own API. It has a `model`, and may have anything else.
    Only its `stream` is replaced, and its `model` if a fallback is called."""
    headers: Headers = {}
    """More headers for the provider, such as `anthropic-beta`: at most 16, with 8,192 characters together. Headers with
    secrets, and those that belong to the connection or to the provider's SDK, are refused."""
    api: ApiKind | None = None
    """The API that the body is written for: `openai`, `openai-responses` or `anthropic`. If it is given, a provider
    that speaks another API is refused. By default the body is taken to be for the provider's API."""
    stream: bool = True
    """False for one plain call, whose whole body is one frame."""
    on_interrupt: Literal["restart", "fail"] = "restart"
    """What happens if an answer breaks off: a new attempt begins it again (`restart`), or the job fails (`fail`)."""
    fallbacks: Annotated[list[Fallback], Field(max_length=8)] = []
    """Up to 8 other models with the same API, which are called in this order if the provider fails. They get the same
    body with another `model`, and the same headers."""
    timeouts: Timeouts | None = None
    """How long the provider may be silent, and how long it may take. They can only shorten the worker's limits."""
    guards: Annotated[Guards, AfterValidator(_leave_text)] = []
    """The guards of the answer: `block` and `moderate`. Those that change text are refused."""

    if TYPE_CHECKING:

        def __init__(self, **fields: Unpack[VerbatimFields]) -> None: ...

    @property
    def model(self) -> str:
        """The model, as the body names it."""
        return cast("str", self.body["model"])

    def falling_back(self, fallback: Fallback) -> Self:
        """Make the request that is sent to a fallback.

        Args:
            fallback: The provider and the model to call.

        Returns:
            A copy without fallbacks, whose body names the model of the fallback.
        """
        body = {**self.body, "model": fallback["model"]}
        return self.model_copy(update={"provider": fallback["provider"], "body": body, "fallbacks": []})

    @model_validator(mode="after")
    def _stays_with_api(self) -> Self:
        if problems := list(self._of_other_apis()):
            raise refusal(problems)
        return self

    def _of_other_apis(self) -> Iterator[Problem]:
        own = builtin_kind(self.provider)
        if self.api and own and own != self.api:
            yield Problem(("api",), f"{self.provider} does not have this API: give the API of the provider, or omit it")
        api = self.api or own
        for index, fallback in enumerate(self.fallbacks):
            other = builtin_kind(fallback["provider"])
            if api and other and other != api:
                path: Path = ("fallbacks", index, "provider")
                yield Problem(path, f"{other} does not have the API of the body, {api}: give a provider that has")

    @model_validator(mode="wrap")
    @classmethod
    def _tell(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            raise retold(error, data, stranger=_stranger, path_in=_nowhere) from None


def _stranger(_name: str) -> str:
    return "is not a field of a verbatim request: put the fields of the provider's API into `body`"


def _nowhere(form: object, step: str | int, *, is_missing: bool) -> Path:  # noqa: ARG001
    return ()
