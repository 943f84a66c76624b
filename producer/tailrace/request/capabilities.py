"""What each kind of API accepts, and which parts of its answers a job can carry. The rest is refused at enqueue."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, cast

from tailrace.api_kinds import ApiKind, builtin_kind
from tailrace.request.messages import Message, says_something
from tailrace.request.tools import Tool
from tailrace.request.validation import Path, Problem


class Asked(Protocol):
    """The fields of a request that the rules read."""

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


def unsupported(kind: ApiKind, request: Asked, *, provider: str) -> list[Problem]:
    """Find what a provider of this kind, or tailrace with it, cannot do.

    A field that has no meaning for a provider, and changes nothing, is not a problem: its adapter omits the field.

    Args:
        kind: The kind of the provider's API.
        request: The request.
        provider: The name of the provider in messages.

    Returns:
        The problems, each with the path of its field.
    """
    return [*_FIELDS[kind](request, provider), *_in_extra(kind, request, provider)]


def stranger(name: str, value: object, provider: object) -> str:
    """Say why a request has no field of this name, and what to use instead.

    Args:
        name: The name of the unknown field.
        value: The value that was given for it.
        provider: The request's provider, which may be invalid too.

    Returns:
        The reason, for a `Problem`.
    """
    kind = builtin_kind(provider)
    if name in _FIELD_OF:
        return f"is not a field of a request: use {_FIELD_OF[name]}"
    limit = _limits(kind or "openai").get(name)
    if limit and limit.is_over(value):
        return limit.tell(kind or "the provider")
    return f"is not a field of a request: put fields that only {kind or 'the provider'} knows into `extra`"


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
"""Names that `extra` never has."""
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
"""Names that `extra` may have only if the request does not set the field: the provider knows more forms of them."""
_HOLDERS: Final = frozenset({"text", "output_config"})
"""Names whose value has other parts beside the `format`, and only the `format` is written from a field."""
_FIELD_OF: Final[Mapping[str, str]] = {
    **{name: f"`{field}`" for name, field in _SHARED["openai"].items()},
    **{name: field for names in _OWN.values() for name, field in names.items()},
}


class _Limit(NamedTuple):
    """A name in `extra` whose value tailrace limits to what a job can carry."""

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


_AUDIO: Final = "a tailrace job cannot carry audio of {provider}: ask for text only"
_LOGPROBS: Final = "a tailrace stream cannot carry {provider}'s log probabilities: omit it"
_SDK: Final = "is an option of the SDK: `extra` holds fields of the body that is sent to {provider}"
_HEADER: Final = "{provider} accepts it only as a header, and `extra` goes into the body: omit it"
_NO_STREAM_OPTIONS: Final = _Limit(
    _is_given, "tailrace sets it for {provider}, so that the tokens are counted: omit it"
)
_PREWARM: Final = _Limit(
    _entry("prewarm"), "with `prewarm` {provider} only warms its cache and gives no answer: omit it"
)

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
        "stop": _Limit(_is_given, "{provider} has no stop sequences: omit it"),
        "stream_options": _NO_STREAM_OPTIONS,
        "prompt_cache_options": _PREWARM,
        "background": _Limit(
            bool, "{provider} would go on after the job is cancelled: omit it, jobs run in the background anyway"
        ),
        "include": _Limit(_holds(lambda included: included == "message.output_text.logprobs"), _LOGPROBS),
        "tools": _Limit(
            _holds(lambda tool: _entry("type")(tool) == "image_generation"),
            "a tailrace job cannot carry images of {provider}: omit `image_generation`",
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
            yield Problem(
                path, f"tailrace writes it for {provider} from a field of the request: use {_OWN[kind][name]}"
            )
        elif shared and getattr(request, shared) and not (name in _HOLDERS and _leaves_format(value)):
            yield Problem(path, f"`{shared}` is sent to {provider} as the same field: omit one of the two")
        elif name in limits and limits[name].is_over(value):
            yield Problem(path, limits[name].tell(provider))


# What a kind does not accept in the request's own fields. The sources are the parameters of openai 3.54 and anthropic
# 2.12. If those allow more than the API, as for stop sequences of white space, the source is its answers of 400.


def _chat(request: Asked, provider: str) -> Iterator[Problem]:
    for index, message in enumerate(request.messages):
        content = message.get("content")
        if not isinstance(content, list):
            continue
        for place, part in enumerate(content):
            path: Path = ("messages", index, "content", place)
            if part["type"] == "document" and "url" in part:
                yield Problem((*path, "url"), f"{provider} fetches no documents: give `data` and `media_type`")
            if part["type"] == "image" and message["role"] == "tool":
                yield Problem(path, f"{provider} accepts only text from a tool: send the image in a user message")


def _responses(request: Asked, provider: str) -> Iterator[Problem]:
    if request.stop:
        yield Problem(("stop",), f"{provider} has no stop sequences: omit it")


def _anthropic(request: Asked, provider: str) -> Iterator[Problem]:
    if request.temperature is not None and request.temperature > 1:
        yield Problem(("temperature",), f"{provider} accepts 0 to 1")
    for index, stop in enumerate(request.stop):
        if stop.isspace():
            yield Problem(("stop", index), f"{provider} accepts no stop sequence of only white space")
    for index, tool in enumerate(request.tools):
        if "parameters" in tool and tool["parameters"].get("type") != "object":
            yield Problem(("tools", index, "parameters"), f"{provider} accepts only a schema of the type `object`")
    if not any(message["role"] != "system" and says_something(message) for message in request.messages):
        yield Problem(("messages",), f"{provider} needs a message that is not of the role `system`")


_FIELDS: Final[Mapping[ApiKind, Callable[[Asked, str], Iterator[Problem]]]] = {
    "openai": _chat,
    "openai-responses": _responses,
    "anthropic": _anthropic,
}
