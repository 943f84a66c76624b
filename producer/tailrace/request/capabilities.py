"""What each kind of API takes, and what of its answers a job can carry; the rest is refused before it is enqueued."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, cast, get_args

from tailrace.request.messages import Message, says_something
from tailrace.request.tools import Tool
from tailrace.request.validation import Path, Problem

ApiKind: TypeAlias = Literal["openai", "openai-responses", "anthropic"]
"""OpenAI's Chat Completions, OpenAI's Responses, Anthropic's Messages. Each is the name of a provider, too."""
API_KINDS: Final[tuple[ApiKind, ...]] = get_args(ApiKind)


class Asked(Protocol):
    """A request, as far as the rules look at it."""

    @property
    def messages(self) -> Sequence[Message]: ...
    @property
    def temperature(self) -> float | None: ...
    @property
    def stop(self) -> Sequence[str]: ...
    @property
    def tools(self) -> Sequence[Tool]: ...
    @property
    def extra(self) -> Mapping[str, Any]: ...


def builtin_kind(provider: object) -> ApiKind | None:
    """The kind of a provider that needs no settings; `None` for one that only the workers' settings know."""
    return next((kind for kind in API_KINDS if kind == provider), None)


def unsupported(kind: ApiKind, request: Asked, *, provider: str) -> list[Problem]:
    """What a provider of this kind, or tailrace with it, cannot do of a request. `provider` is its name in messages.

    What means nothing to a provider, and changes nothing, is no problem: its adapter leaves it out.
    """
    return [*_FIELDS[kind](request, provider), *_in_extra(kind, request, provider)]


def stranger(name: str, value: object, provider: object) -> str:
    """Why a request has no field of this name, and what to use."""
    kind = builtin_kind(provider)
    if name in _FIELD_OF:
        return f"is no field of a request: use {_FIELD_OF[name]}"
    limit = _limits(kind or "openai").get(name)
    if limit and limit.is_over(value):
        return limit.tell(kind or "the provider")
    return f"is no field of a request: what only {kind or 'the provider'} knows goes into `extra`"


# The names in a provider's body, and the fields that tailrace writes them from.

_COMMON: Final = {
    "model": "`model`",
    "messages": "`messages`",
    "system": "`messages`, with the role `system`",
    "stream": "`stream`",
    "temperature": "`temperature`",
    "top_p": "`top_p`",
}
_OWN: Final[Mapping[ApiKind, Mapping[str, str]]] = {
    "openai": {
        **_COMMON,
        "stop": "`stop`",
        "functions": "`tools`",
        "function_call": "`tool_choice`",
    },
    "openai-responses": {
        **_COMMON,
        "input": "`messages`",
        "instructions": "`messages`, with the role `system`",
        "max_output_tokens": "`max_output_tokens`",
        "max_tokens": "`max_output_tokens`",
    },
    "anthropic": {
        **_COMMON,
        "max_tokens": "`max_output_tokens`",
        "stop_sequences": "`stop`",
        "output_format": "`output_schema`",
    },
}
"""Never in `extra`."""
_TOOLS: Final = {"tools": "tools", "tool_choice": "tool_choice"}
_SHARED: Final[Mapping[ApiKind, Mapping[str, str]]] = {
    "openai": {
        **_TOOLS,
        "response_format": "output_schema",
        "max_tokens": "max_output_tokens",
        "max_completion_tokens": "max_output_tokens",
    },
    "openai-responses": {**_TOOLS, "text": "output_schema"},
    "anthropic": {**_TOOLS, "output_config": "output_schema"},
}
"""In `extra` where the request leaves the field alone: the provider knows forms that the field does not."""
_HOLDERS: Final = frozenset({"text", "output_config"})
"""Hold other things beside the `format`, which alone a field tells."""
_FIELD_OF: Final[Mapping[str, str]] = {
    **{name: f"`{field}`" for name, field in _SHARED["openai"].items()},
    **{name: field for names in _OWN.values() for name, field in names.items()},
}


class _Limit(NamedTuple):
    """A name of which tailrace lets no more through than it can carry."""

    is_over: Callable[[Any], bool]
    why: str

    def tell(self, provider: str) -> str:
        return self.why.format(provider=provider)


def _is_given(value: object) -> bool:
    return value is not None


def _is_not_one(value: object) -> bool:
    return value not in (None, 1)


def _is_more_than_text(value: object) -> bool:
    if not isinstance(value, list):
        return value is not None
    return any(modality != "text" for modality in cast("Sequence[Any]", value))


def _holds(member: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and any(map(member, cast("Sequence[Any]", value)))


def _entry(name: str) -> Callable[[Any], Any]:
    return lambda value: cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None


def _leaves_format(value: object) -> bool:
    return isinstance(value, dict) and "format" not in value


_AUDIO: Final = "audio of {provider} is more than a tailrace job carries: ask for text alone"
_LOGPROBS: Final = "a tailrace stream has no place for {provider}'s log probabilities: leave it out"
_SDK: Final = "is an option of the SDK: `extra` is what goes into the body that {provider} gets"
_HEADER: Final = "{provider} takes it as a header, and `extra` goes into the body"
_NO_STREAM_OPTIONS: Final = _Limit(_is_given, "tailrace sets {provider}'s itself, to have the tokens counted")
_PREWARM: Final = _Limit(_entry("prewarm"), "{provider} only warms its cache then, and gives no answer")

_LIMITS: Final[Mapping[str, _Limit]] = {
    "n": _Limit(_is_not_one, "a tailrace job carries one answer of {provider}: enqueue one job per answer"),
    "modalities": _Limit(_is_more_than_text, _AUDIO),
    "audio": _Limit(_is_given, _AUDIO),
    "logprobs": _Limit(bool, _LOGPROBS),
    "top_logprobs": _Limit(bool, _LOGPROBS),
    "extra_body": _Limit(_is_given, _SDK),
    "extra_headers": _Limit(_is_given, _SDK),
    "extra_query": _Limit(_is_given, _SDK),
    "timeout": _Limit(_is_given, _SDK),
}
_LIMITS_OF_KIND: Final[Mapping[ApiKind, Mapping[str, _Limit]]] = {
    "openai": {
        "stream_options": _NO_STREAM_OPTIONS,
        "prompt_cache_options": _PREWARM,
    },
    "openai-responses": {
        "stop": _Limit(_is_given, "{provider} has no stop sequences: leave it out"),
        "stream_options": _NO_STREAM_OPTIONS,
        "prompt_cache_options": _PREWARM,
        "background": _Limit(
            bool, "{provider} would go on with it when the job is cancelled: leave it out, a job waits for nobody"
        ),
        "include": _Limit(_holds(lambda included: included == "message.output_text.logprobs"), _LOGPROBS),
        "tools": _Limit(
            _holds(lambda tool: _entry("type")(tool) == "image_generation"),
            "images of {provider} are more than a tailrace job carries: leave out `image_generation`",
        ),
    },
    "anthropic": {
        "betas": _Limit(_is_given, _HEADER),
        "user_profile_id": _Limit(_is_given, _HEADER),
        "workspace_id": _Limit(_is_given, _HEADER),
    },
}


def _limits(kind: ApiKind) -> Mapping[str, _Limit]:
    return {**_LIMITS, **_LIMITS_OF_KIND[kind]}


def _in_extra(kind: ApiKind, request: Asked, provider: str) -> Iterator[Problem]:
    limits = _limits(kind)
    for name, value in request.extra.items():
        path = ("extra", name)
        shared = _SHARED[kind].get(name)
        if name in _OWN[kind]:
            yield Problem(path, f"tailrace tells {provider} by a field of the request: use {_OWN[kind][name]}")
        elif shared and getattr(request, shared) and not (name in _HOLDERS and _leaves_format(value)):
            yield Problem(path, f"`{shared}` tells {provider} the same: leave out one of the two")
        elif name in limits and limits[name].is_over(value):
            yield Problem(path, limits[name].tell(provider))


# What a kind does not take of the request's own fields: by the parameters of openai 3.54 and anthropic 2.12, and where
# those allow more than the API, as with white space to stop at, by its answers of 400.


def _chat(request: Asked, provider: str) -> Iterator[Problem]:
    for index, message in enumerate(request.messages):
        content = message.get("content")
        if not isinstance(content, list):
            continue
        for place, part in enumerate(content):
            path: Path = ("messages", index, "content", place)
            if part["type"] == "document" and "url" in part:
                yield Problem((*path, "url"), f"{provider} fetches no documents: give its `data` and `media_type`")
            if part["type"] == "image" and message["role"] == "tool":
                yield Problem(path, f"{provider} takes text alone from a tool: show the image in a message of the user")


def _responses(request: Asked, provider: str) -> Iterator[Problem]:
    if request.stop:
        yield Problem(("stop",), f"{provider} has no stop sequences: leave it out")


def _anthropic(request: Asked, provider: str) -> Iterator[Problem]:
    if request.temperature is not None and request.temperature > 1:
        yield Problem(("temperature",), f"{provider} takes 0 to 1")
    for index, stop in enumerate(request.stop):
        if stop.isspace():
            yield Problem(("stop", index), f"{provider} takes none of white space alone")
    for index, tool in enumerate(request.tools):
        if "parameters" in tool and tool["parameters"].get("type") != "object":
            yield Problem(("tools", index, "parameters"), f"{provider} takes a schema of the type `object` alone")
    if not any(message["role"] != "system" and says_something(message) for message in request.messages):
        yield Problem(("messages",), f"{provider} needs one that is not of the role `system`")


_FIELDS: Final[Mapping[ApiKind, Callable[[Asked, str], Iterator[Problem]]]] = {
    "openai": _chat,
    "openai-responses": _responses,
    "anthropic": _anthropic,
}
