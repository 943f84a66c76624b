"""What an operator can set for a worker, read once, at its start."""

from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic_settings import NoDecode

from tailrace.settings import YEAR_SECONDS, Settings

QueueName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


def _split(value: Any) -> Any:
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("Each queue should be named once")
    return names


class WorkerSettings(Settings):
    """The settings of both sides, and the worker's own: fields are read from `TAILRACE_` and their name in capitals.

    Providers read their SDK's own variables: `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `ANTHROPIC_API_KEY`,
    `ANTHROPIC_BASE_URL`.
    """

    queues: Annotated[
        tuple[QueueName, ...], NoDecode, BeforeValidator(_split), AfterValidator(_each_once), Field(min_length=1)
    ] = ("default",)
    """The queues whose jobs this worker runs, with commas between them: those of the first go before all others."""
    max_jobs: int = Field(default=100, ge=1, le=10_000)
    """How many jobs it runs at a time."""
    lease_seconds: float = Field(default=5, ge=1, le=300)
    """How long a job stays claimed by a worker that does not renew its lease: renewed three times in that time."""
    grace_seconds: float = Field(default=30, ge=0, le=YEAR_SECONDS)
    """How long running jobs may take to finish after SIGTERM, before they are handed back."""
    cancel_poll_ms: int = Field(default=30, ge=1, le=1_000)
    """How often the cancel keys of all running jobs are read, in one command."""
    batch_ms: int = Field(default=4, ge=0, le=1_000)
    """The shortest time between two batches of appends; the first text of a job does not wait for it."""
    max_waiting_bytes: int = Field(default=8_388_608, ge=65_536)
    """How much may wait to be appended; beyond it, reading from the providers waits."""
    resend_seconds: float = Field(default=5, ge=0, le=YEAR_SECONDS)
    """How long appended entries are kept, to be sent again should a restarted Redis have lost them."""
    max_resend_bytes: int = Field(default=33_554_432, ge=0)
    """How much of them is kept."""
