"""`ModelTable`: which provider and model stand behind the names that clients of other APIs use."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Final, NamedTuple, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import from_json

from tailrace import Fallback, Timeouts
from tailrace.field_docs import describe_fields

_WILDCARDS: Final = frozenset("*?[")
_Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class ModelEntry(BaseModel):
    """What a name in `TAILRACE_MODELS` stands for."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, json_schema_extra=describe_fields)

    provider: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
    """The provider."""
    model: _Name | None = None
    """The model, as the provider writes its name; by default the name that was asked for."""
    fallbacks: Annotated[tuple[Fallback, ...], Field(max_length=8)] = ()
    """Other models that are called in this order if the provider fails."""
    queue: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "default"
    """The queue in which the jobs wait."""
    max_output_tokens: int | None = Field(default=None, ge=1, lt=2**31)
    """How many tokens an answer may have at most. A request can only ask for fewer."""
    timeouts: Timeouts | None = None
    """How long the provider may be silent, and how long it may take."""

    def fields(self) -> dict[str, Any]:
        """Return the fields of a new job that only the entry decides."""
        return {
            "provider": self.provider,
            "queue": self.queue,
            "fallbacks": list(self.fallbacks),
            "timeouts": self.timeouts,
        }

    def limited(self, max_output_tokens: int | None) -> int | None:
        """Return how many tokens an answer may have at most.

        Args:
            max_output_tokens: How many tokens the client asks for at most.
        """
        limits = [limit for limit in (max_output_tokens, self.max_output_tokens) if limit is not None]
        return min(limits, default=None)


class ModelTable:
    """The entries by their names. A name with `*`, `?` or `[…]` is a pattern.

    Args:
        entries: The entries by name, in the order in which patterns are tried.
    """

    def __init__(self, entries: Mapping[str, ModelEntry]) -> None:
        self.entries: Mapping[str, ModelEntry] = entries
        """The entries by their names."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.entries)})"

    def find(self, asked: str) -> ModelEntry | None:
        """Find what a name stands for.

        Args:
            asked: The name that a client asks for.

        Returns:
            The entry with exactly this name, else that of the first pattern that the name fits; `None` if there is
            none.
        """
        exact = self.entries.get(asked)
        if exact is not None and not _is_pattern(asked):
            return exact
        patterns = ((name, entry) for name, entry in self.entries.items() if _is_pattern(name))
        return next((entry for pattern, entry in patterns if fnmatchcase(asked, pattern)), None)

    def listed(self) -> Iterator["ListedModel"]:
        """Yield the models that can be asked for by their names: patterns are no names."""
        for name, entry in self.entries.items():
            if not _is_pattern(name):
                yield ListedModel(name, entry.provider)


class ListedModel(NamedTuple):
    """A model that can be asked for."""

    name: str
    """The name to ask for."""
    provider: str
    """The provider that is called."""


def _is_pattern(name: str) -> bool:
    return not _WILDCARDS.isdisjoint(name)


def _read(value: Any) -> Any:
    return from_json(value) if isinstance(value, str | bytes) else value


Models: TypeAlias = Annotated[Mapping[_Name, ModelEntry], BeforeValidator(_read)]
"""The setting: a mapping, or its JSON."""
