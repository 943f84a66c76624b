"""Calls to the providers, tried again as long as no reader has seen anything of them."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Final, NamedTuple, Protocol, cast

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta, Notice, Reasoning, Refusal, ToolCall
from tailrace.request.capabilities import unsupported
from tailrace.request.generation_request import GenerationRequest
from tailrace_worker.attempt.plan import Course
from tailrace_worker.attempt.rate_limits import Throttle
from tailrace_worker.attempt.retry_policy import RetryPolicy
from tailrace_worker.offload import beside_the_loop
from tailrace_worker.providers.base import Alive, Piece, Provider, Unconfigured, Usage
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.shaping.deadlines import Watch, deadlines

_logger = logging.getLogger(__name__)

_UNFIT: Final = frozenset({FailureCode.INVALID_REQUEST, FailureCode.PROVIDER_NOT_CONFIGURED})
_MAX_PARTS_AT_ONCE: Final = 500
"""An adapter takes 5 to 10 microseconds to write a message, and there may be tens of thousands."""


class Sink(Protocol):
    """Where pieces go to."""

    @property
    def is_full(self) -> bool:
        """Whether no more may come before there is `room`."""
        ...

    async def room(self) -> None:
        """Waits until more may come."""
        ...


class Begun(NamedTuple):
    """An answer that has begun. Read it once, by the one or the other way."""

    first: deque[Piece]
    """What has come, up to the first piece of content, as long as it was not handed on: it may be large."""
    rest: AsyncGenerator[Piece | Alive, None]
    watch: Watch

    @property
    def has_spoken(self) -> bool:
        """Whether any of the answer itself has come."""
        return any(isinstance(piece, Delta | Reasoning | Refusal | ToolCall) for piece in self.first)

    async def each(self, take: Callable[[Piece], None], sink: Sink) -> None:
        """Hands all of it over, as it comes: a generator on the way would cost as much as reading the bytes."""
        async with aclosing(self.rest) as rest:
            with self.watch as watch:
                while self.first:
                    take(self.first.popleft())
                if sink.is_full:
                    await sink.room()
                watch.wait()
                async for heard in rest:
                    if not isinstance(heard, Alive):
                        take(heard)
                    watch.hear(heard)
                    if sink.is_full:
                        watch.rest()
                        await sink.room()
                        watch.wait()

    async def whole(self) -> AsyncGenerator[Piece, None]:
        """All of it, watched."""
        async with aclosing(deadlines(self.rest, self.watch)) as rest:
            while self.first:
                yield self.first.popleft()
            async for piece in rest:
                yield piece


class Calls:
    """Calls the providers, for all the jobs of a worker."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        throttle: Throttle,
        settings: WorkerSettings,
        *,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        self._providers = providers
        self._throttle = throttle
        self._settings = settings
        self._retry_policy = retry_policy or RetryPolicy()
        self._building = asyncio.Lock()
        """An SDK holds the loop for 2 ms to build a request, and a hundred jobs may begin at once."""

    @property
    def usable(self) -> tuple[str, ...]:
        """The providers that can be called, as far as is known before a call."""
        return tuple(name for name in self._providers if name not in self.problems)

    @property
    def problems(self) -> Mapping[str, str]:
        """What is wrong with the others, in a few words."""
        return {name: each.problem for name, each in self._providers.items() if isinstance(each, Unconfigured)}

    def prefills(self, provider: str) -> bool:
        """Whether the provider goes on from the beginning of an answer."""
        return provider in self._providers and self._providers[provider].prefills

    async def begin(self, course: Course, tell: Callable[[Notice], None]) -> Begun:
        """Makes the call that a job is at. Until the first piece it is tried again, and fallbacks are taken.

        Raises:
            ProviderError: Nothing is left to try in this attempt.
        """
        if course.retries:
            await asyncio.sleep(self._retry_policy.pause_seconds(course.retries))
        verdict: ProviderError | None = None
        while True:
            try:
                await self._pass_over(course)
                if notice := course.take_notice():
                    tell(notice)
                return await self._begin(course)
            except ProviderError as error:
                # That a fallback cannot be called at all tells nothing of whether another try would help.
                if verdict is None or error.code not in _UNFIT:
                    verdict = error
                if not course.falls_back(error):
                    raise verdict from verdict.__cause__

    async def heed(self, request: GenerationRequest, error: ProviderError) -> None:
        """Tells all workers of a rate limit."""
        if error.code is FailureCode.PROVIDER_RATE_LIMITED:
            seconds = error.retry_after_seconds or self._retry_policy.rate_limit_seconds
            await self._throttle.tell(request.provider, request.model, seconds)

    async def _pass_over(self, course: Course) -> None:
        """Raises `ProviderError` where the target takes no calls now, and another does, or does so sooner."""
        choice = course.choice
        if len(choice) == 1:
            return
        left = await self._throttle.left(*((each.provider, each.model) for each in choice))
        soonest = left.index(min(left))
        if soonest:
            course.prefer(soonest)
            raise ProviderError(
                f"{choice[0].provider} {choice[0].model} takes no calls for {left[0]:.1f} s.",
                code=FailureCode.PROVIDER_RATE_LIMITED,
                retryable=True,
            )

    async def _begin(self, course: Course) -> Begun:
        request = course.request
        provider = self._provider(request)
        async for attempt in self._retry_policy.tries(self._settings.provider_tries, is_last=course.is_last):
            with attempt:
                return await self._try(provider, request)
        raise AssertionError("the last try raises")  # pragma: no cover

    async def _try(self, provider: Provider, request: GenerationRequest) -> Begun:
        await self._throttle.wait(request.provider, request.model)
        await self._building.acquire()
        # The next request is built in a later turn of the loop: all other tasks run between the two.
        asyncio.get_running_loop().call_soon(self._building.release)
        limits = self._settings.timeouts.tightened(request.timeouts)
        watch = Watch(limits if request.stream else limits.of_plain_call)
        if _parts(request) <= _MAX_PARTS_AT_ONCE:
            rest = provider.stream(request)
        else:
            rest = await beside_the_loop(provider.stream, request)
        begun = Begun(deque(), rest, watch)
        try:
            with watch:
                watch.wait()
                async for piece in begun.rest:
                    watch.hear(piece)
                    if isinstance(piece, Alive):
                        continue
                    begun.first.append(piece)
                    if not isinstance(piece, Usage):
                        break
        except ProviderError as error:
            # What a provider says of an error may quote the prompt: it is for those who read the stream.
            id_ = error.request_id or "-"
            _logger.debug("a call of %s %s failed: %s, request id %s", request.provider, request.model, error.code, id_)
            await self.heed(request, error)
            raise
        return begun

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


def _parts(request: GenerationRequest) -> int:
    """How many messages, and parts of messages, an adapter has to write."""
    parts = len(request.messages)
    for message in request.messages:
        for field in ("content", "tool_calls", "reasoning"):
            value = message.get(field)
            if isinstance(value, list):
                parts += len(cast("list[object]", value))
    return parts
