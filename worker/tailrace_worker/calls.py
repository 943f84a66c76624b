"""Calls to the providers, tried again as long as no reader has seen anything of them."""

import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Final, NamedTuple

import stamina

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Notice
from tailrace.request import GenerationRequest
from tailrace.support import unsupported
from tailrace_worker.course import DEADLINES, Course
from tailrace_worker.provider import Piece, Provider, Usage
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.shaping.deadlines import deadlines
from tailrace_worker.throttle import MAX_WAIT_SECONDS, Throttle
from tailrace_worker.turnstile import Turnstile

_FIRST_WAIT_SECONDS: Final = 0.1
_LAST_WAIT_SECONDS: Final = 10.0
_JITTER_SECONDS: Final = 0.4
_RATE_LIMIT_SECONDS: Final = 1.0
"""How long all wait after a rate limit that does not say so itself."""


class Begun(NamedTuple):
    """An answer that has begun."""

    first: list[Piece]
    """What has come, up to the first piece of content."""
    rest: AsyncGenerator[Piece, None]

    async def whole(self) -> AsyncGenerator[Piece, None]:
        """All of it."""
        async with aclosing(self.rest):
            for piece in self.first:
                yield piece
            async for piece in self.rest:
                yield piece


class Calls:
    """Calls the providers, for all the jobs of a worker."""

    def __init__(self, providers: Mapping[str, Provider], throttle: Throttle, settings: WorkerSettings) -> None:
        self._providers = providers
        self._throttle = throttle
        self._settings = settings
        # An SDK holds the loop for 2 ms to build a request, and a hundred jobs may begin at once.
        self._turnstile = Turnstile()

    def prefills(self, provider: str) -> bool:
        """Whether the provider goes on from the beginning of an answer."""
        return provider in self._providers and self._providers[provider].prefills

    async def begin(self, course: Course, tell: Callable[[Notice], None]) -> Begun:
        """Makes the call that a job is at. Until the first piece it is tried again, and fallbacks are taken.

        Raises:
            ProviderError: Nothing is left to try.
        """
        while True:
            if notice := course.take_notice():
                tell(notice)
            try:
                return await self._begin(course.request)
            except ProviderError as error:
                if not course.falls_back(error):
                    raise

    async def heed(self, request: GenerationRequest, error: ProviderError) -> None:
        """Tells all workers of a rate limit."""
        if error.code is FailureCode.PROVIDER_RATE_LIMITED:
            seconds = error.retry_after_seconds or _RATE_LIMIT_SECONDS
            await self._throttle.tell(request.provider, request.model, seconds)

    async def _begin(self, request: GenerationRequest) -> Begun:
        tries = stamina.retry_context(
            on=_wait,
            attempts=self._settings.provider_tries,
            timeout=None,
            wait_initial=_FIRST_WAIT_SECONDS,
            wait_max=_LAST_WAIT_SECONDS,
            wait_jitter=_JITTER_SECONDS,
        )
        provider = self._provider(request)
        async for attempt in tries:
            with attempt:
                return await self._try(provider, request)
        raise AssertionError("the last try raises")  # pragma: no cover

    async def _try(self, provider: Provider, request: GenerationRequest) -> Begun:
        await self._throttle.wait(request.provider, request.model)
        await self._turnstile.turn()
        timeouts = self._settings.timeouts.tightened(request.timeouts)
        pieces = deadlines(provider.stream(request), timeouts)
        first: list[Piece] = []
        try:
            async for piece in pieces:
                first.append(piece)
                if not isinstance(piece, Usage):
                    break
        except ProviderError as error:
            await self.heed(request, error)
            raise
        return Begun(first, pieces)

    def _provider(self, request: GenerationRequest) -> Provider:
        name = request.provider
        entry = self._settings.providers.get(name)
        problems = unsupported(entry.kind, request, provider=name) if entry else []
        if problems:
            raise ProviderError("; ".join(map(str, problems)), code=FailureCode.INVALID_REQUEST, retryable=False)
        if name not in self._providers:
            raise ProviderError(
                f"This worker has no provider {name!r}, it has {', '.join(self._providers)}: "
                "name it in the worker's TAILRACE_PROVIDERS.",
                code=FailureCode.PROVIDER_NOT_CONFIGURED,
                retryable=False,
            )
        return self._providers[name]


def _wait(error: Exception) -> bool | float:
    """Whether to try again, or after how many seconds."""
    if not isinstance(error, ProviderError) or not error.retryable or error.code in DEADLINES:
        return False
    seconds = error.retry_after_seconds
    if seconds is None:
        return True
    return seconds <= MAX_WAIT_SECONDS and seconds + random.uniform(0, _JITTER_SECONDS)  # noqa: S311
