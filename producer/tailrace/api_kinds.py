"""The kinds of API that providers and clients speak."""

from typing import Final, Literal, TypeAlias, get_args

ApiKind: TypeAlias = Literal["openai", "openai-responses", "anthropic"]
"""OpenAI's Chat Completions, OpenAI's Responses, Anthropic's Messages. Each kind is also the name of a provider."""
API_KINDS: Final[tuple[ApiKind, ...]] = get_args(ApiKind)


def builtin_kind(provider: object) -> ApiKind | None:
    """Return the kind of a built-in provider; `None` for a provider that only the workers' settings define."""
    return next((kind for kind in API_KINDS if kind == provider), None)
