"""Judges texts by OpenAI's moderation endpoint."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from openai import AsyncOpenAI, DefaultAioHttpClient, OpenAIError

from tailrace_worker.providers.http.redirects import stay_there
from tailrace_worker.shaping.guards.moderate import Judge, ModerationFailed, ModerationVerdict

_MODEL: Final = "omni-moderation-latest"
_TIMEOUT_SECONDS: Final = 5.0
_RETRIES: Final = 2


@asynccontextmanager
async def open_moderation() -> AsyncGenerator[Judge]:
    """Open the judge, with the key and the address that the SDK finds in the environment.

    If the SDK finds no key, the judge raises `ModerationFailed` for each text.

    Yields:
        The judge.
    """
    async with DefaultAioHttpClient(event_hooks={"response": [stay_there]}) as http_client:
        try:
            client = AsyncOpenAI(http_client=http_client)
        except OpenAIError as error:
            yield _failing(f"OpenAI's moderation endpoint cannot be called ({type(error).__name__}).")
        else:
            yield OpenAIModeration(client).judge


def _failing(reason: str) -> Judge:
    async def judge(text: str) -> ModerationVerdict:  # noqa: ARG001
        raise ModerationFailed(reason)

    return judge


class OpenAIModeration:
    """A judge of texts through the SDK. The SDK retries by itself, because a job is not retried without a verdict."""

    def __init__(self, client: AsyncOpenAI, *, model: str = _MODEL) -> None:
        self._moderations = client.with_options(timeout=_TIMEOUT_SECONDS, max_retries=_RETRIES).moderations
        self._model = model

    async def judge(self, text: str) -> ModerationVerdict:
        """Judge a text.

        Args:
            text: The text.

        Raises:
            ModerationFailed: There is no verdict.
        """
        try:
            response = await self._moderations.create(model=self._model, input=text)
            is_judged = bool(response.results) and all(result.flagged in {True, False} for result in response.results)
            flagged = [result.categories.to_dict() for result in response.results if result.flagged]
        except Exception as error:
            # The message of the SDK's error may contain a part of the key; the name of its class does not.
            raise ModerationFailed(f"OpenAI's moderation endpoint failed ({type(error).__name__}).") from error
        if not is_judged:
            # The SDK accepts any JSON as an answer. Only an answer that says so means that the text is not flagged.
            raise ModerationFailed("OpenAI's moderation endpoint gave no verdict.")
        names = {name for categories in flagged for name, is_flagged in categories.items() if is_flagged}
        return ModerationVerdict(categories=tuple(sorted(names)) or (("unnamed",) if flagged else ()))
