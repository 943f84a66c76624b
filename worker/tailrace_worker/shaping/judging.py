"""The judge of texts that the worker's environment allows for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tailrace_worker.shaping.moderate import Judge


@asynccontextmanager
async def open_judge() -> AsyncGenerator[Judge]:
    """Opens OpenAI's moderation endpoint, as its SDK finds it in the environment. Loads the SDK."""
    from tailrace_worker.shaping.openai_moderation import open_moderation  # noqa: PLC0415

    async with open_moderation() as judge:
        yield judge
