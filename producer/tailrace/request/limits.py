"""How a request wants its stream shaped: when a silent provider is cut, and how much text comes at a time."""

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_serializer

from tailrace.request.validation import CLOSED
from tailrace.settings import YEAR_SECONDS


class Timeouts(BaseModel):
    """How long a provider may be silent, and how long it may take. A request can tighten what its worker is set to."""

    model_config: ClassVar[ConfigDict] = CLOSED | ConfigDict(frozen=True, allow_inf_nan=False)

    first_token_seconds: float = Field(default=300, gt=0, le=YEAR_SECONDS)
    """From the provider call to its first content. Reasoning is content; comments and pings are not. Models that think
    may be silent for minutes. For a plain call (`stream=False`) only the total counts."""
    idle_seconds: float = Field(default=120, gt=0, le=YEAR_SECONDS)
    """From one sign of life to the next, after the first content. Comments, pings and empty pieces are signs of
    life."""
    total_seconds: float = Field(default=600, gt=0, le=YEAR_SECONDS)
    """From the provider call to the end."""

    @classmethod
    def interactive(cls) -> Self:
        """What a person who watches has patience for: 10, 5 and 60 seconds."""
        return cls(first_token_seconds=10, idle_seconds=5, total_seconds=60)

    def tightened(self, wanted: "Timeouts | None") -> "Timeouts":
        """The shorter of each. What `wanted` was not given counts for nothing, whatever its default."""
        given = wanted.model_fields_set if wanted else ()
        return self.model_copy(update={name: min(getattr(self, name), getattr(wanted, name)) for name in given})

    @property
    def of_plain_call(self) -> Self:
        """What counts of them for a plain call."""
        return self.model_copy(update={"first_token_seconds": self.total_seconds})

    # A time that is given is kept though it be the default: the worker may be set to another.
    @model_serializer
    def _given(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


class Buffering(BaseModel):
    """Text comes in larger pieces: whichever limit is reached first lets go what is held back."""

    model_config: ClassVar[ConfigDict] = CLOSED | ConfigDict(frozen=True)

    max_chars: int = Field(default=100, ge=1, le=10_000)
    """As many characters."""
    max_delay_ms: int = Field(default=100, ge=1, le=10_000)
    """As long after the first of them came, whether or not anything follows."""
    at_sentences: bool = True
    """The end of a sentence."""
