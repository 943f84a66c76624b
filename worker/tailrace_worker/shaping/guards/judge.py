"""Opens the judge of texts that the worker's environment configures."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from tailrace_worker.shaping.guards.moderate import Judge, ModerationFailed, ModerationVerdict

_KEY_VARIABLES: Final = ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY")


@asynccontextmanager
async def open_judge() -> AsyncGenerator[Judge]:
    """Open OpenAI's moderation endpoint, with the key and the address from the environment.

    The SDK is loaded only if there is a key. Without a key, the judge raises `ModerationFailed` for each text.

    Yields:
        The judge.
    """
    if not any(map(os.environ.get, _KEY_VARIABLES)):
        yield _without_key
        return
    from tailrace_worker.shaping.guards.openai_moderation import open_moderation  # noqa: PLC0415

    async with open_moderation() as judge:
        yield judge


async def _without_key(text: str) -> ModerationVerdict:  # noqa: ARG001
    raise ModerationFailed(f"OpenAI's moderation endpoint cannot be called: {_KEY_VARIABLES[0]} is not set.")
