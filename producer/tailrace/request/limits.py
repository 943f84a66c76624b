"""The time limits of a provider, and the size of the pieces of text that a stream has."""

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_serializer

from tailrace.request.validation import CLOSED
from tailrace.settings import YEAR_SECONDS


class Timeouts(BaseModel):
    """How long a provider may be silent, and how long it may take. A request can only shorten the worker's limits."""

    model_config: ClassVar[ConfigDict] = CLOSED | ConfigDict(frozen=True, allow_inf_nan=False)

    first_token_seconds: float = Field(default=300, gt=0, le=YEAR_SECONDS)
    """The longest time from the call of the provider to its first content, in seconds. Reasoning is content; comments
    and pings are not. Models that reason may be silent for minutes. A plain call (`stream=False`) has only the total
    limit."""
    idle_seconds: float = Field(default=120, gt=0, le=YEAR_SECONDS)
    """The longest silence after the first content, in seconds. Comments, pings and empty pieces end a silence."""
    total_seconds: float = Field(default=600, gt=0, le=YEAR_SECONDS)
    """The longest time from the call of the provider to the end of the answer, in seconds."""

    @classmethod
    def interactive(cls) -> Self:
        """Return limits for an answer that a person watches: 10 s to the first content, 5 s of silence, 60 s in all."""
        return cls(first_token_seconds=10, idle_seconds=5, total_seconds=60)

    def tightened(self, wanted: "Timeouts | None") -> "Timeouts":
        """Return the shorter one of each limit.

        Args:
            wanted: The limits of a request. Fields that were not given to it are ignored, whatever their defaults.

        Returns:
            New limits, none of them longer than this one's.
        """
        given = wanted.model_fields_set if wanted else ()
        return self.model_copy(update={name: min(getattr(self, name), getattr(wanted, name)) for name in given})

    @property
    def of_plain_call(self) -> Self:
        """The limits for a plain call: the first content may take as long as the whole answer."""
        return self.model_copy(update={"first_token_seconds": self.total_seconds})

    # A limit that was given is stored even if it equals the default: the worker may have another limit.
    @model_serializer
    def _given(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


class Buffering(BaseModel):
    """Text is held back and sent in larger pieces. The limit that is reached first sends what is held."""

    model_config: ClassVar[ConfigDict] = CLOSED | ConfigDict(frozen=True)

    max_chars: int = Field(default=100, ge=1, le=10_000)
    """Send when this many characters are held."""
    max_delay_ms: int = Field(default=100, ge=1, le=10_000)
    """Send this long after the first held character arrived, in ms."""
    at_sentences: bool = True
    """True to send at the end of each sentence too."""
