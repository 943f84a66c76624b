"""`Calls`: calls the providers, and retries a call until the first piece of its answer has arrived."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Final, NamedTuple, Protocol, cast

from tailrace.api_kinds import ApiKind, builtin_kind
from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta, Notice, Reasoning, Refusal, ToolCall
from tailrace.request.any_request import AnyRequest
from tailrace.request.capabilities import unsupported
from tailrace.request.generation_request import GenerationRequest
from tailrace.request.validation import Problem
from tailrace.request.verbatim_request import VerbatimRequest
from tailrace_worker.attempt.plan import Plan
from tailrace_worker.attempt.rate_limits import RateLimits
from tailrace_worker.attempt.retry_policy import RetryPolicy
from tailrace_worker.offload import beside_the_loop
from tailrace_worker.providers.base import Alive, Piece, Provider, TokenCounts, Unconfigured
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.shaping.deadlines import CallWatch, deadlines

_logger = logging.getLogger(__name__)

_UNFIT: Final = frozenset({FailureCode.INVALID_REQUEST, FailureCode.PROVIDER_NOT_CONFIGURED})
_MAX_PARTS_AT_ONCE: Final = 500
"""How many messages, and parts of them, are written on the event loop. An adapter takes 5 to 10 microseconds for each,
and a request may have tens of thousands."""


class Backpressure(Protocol):
    """A consumer of pieces, which may be full for a while."""

    @property
    def is_full(self) -> bool:
        """True if no piece may be handed over until there is `room`."""
        ...

    async def room(self) -> None:
        """Wait until another piece may be handed over."""
        ...


class Begun(NamedTuple):
    """An answer that has begun. It can be read once, by `each` or by `whole`."""

    first: deque[Piece]
    """The pieces that have arrived, up to the first one that is not `TokenCounts`. Each is removed once it is handed
    over, because it may be large."""
    rest: AsyncGenerator[Piece | Alive, None]
    watch: CallWatch

    @property
    def has_spoken(self) -> bool:
        """True if a piece of the answer itself has arrived."""
        return any(isinstance(piece, Delta | Reasoning | Refusal | ToolCall) for piece in self.first)

    async def each(self, take: Callable[[Piece], None], backpressure: Backpressure) -> None:
        """Hand over each piece as it arrives.

        This is a method with a callback, because another generator would cost as much time as reading the bytes.

        Args:
            take: Called with each piece.
            sink: The budget of the writer. While it is full, the answer is not read.

        Raises:
            ProviderError: The provider failed, or was silent for too long.
        """
        async with aclosing(self.rest) as rest:
            with self.watch as watch:
                while self.first:
                    take(self.first.popleft())
                if backpressure.is_full:
                    await backpressure.room()
                watch.wait()
                async for heard in rest:
                    if not isinstance(heard, Alive):
                        take(heard)
                    watch.hear(heard)
                    if backpressure.is_full:
                        watch.rest()
                        await backpressure.room()
                        watch.wait()

    async def whole(self) -> AsyncGenerator[Piece, None]:
        """Yield all pieces of the answer.

        Raises:
            ProviderError: The provider failed, or was silent for too long.
        """
        async with aclosing(deadlines(self.rest, self.watch)) as rest:
            while self.first:
                yield self.first.popleft()
            async for piece in rest:
                yield piece


class Calls:
    """The calls to the providers, for all jobs of a worker."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        throttle: RateLimits,
        settings: WorkerSettings,
        *,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        """Share the providers among jobs.

        Args:
            providers: The providers by name.
            throttle: The rate limits that all workers share.
            settings: The settings of the worker.
            retry_policy: The waits between calls; `None` for the defaults.
        """
        self._providers = providers
        self._rate_limits = throttle
        self._settings = settings
        self._retry_policy = retry_policy or RetryPolicy()
        self._building = asyncio.Lock()
        """Held while a request is built. An SDK holds up the event loop for 2 ms to do so, and a hundred jobs may begin
        at the same time."""

    @property
    def usable(self) -> tuple[str, ...]:
        """The names of the providers that can be called, as far as is known before a call."""
        return tuple(name for name in self._providers if name not in self.problems)

    @property
    def problems(self) -> Mapping[str, str]:
        """The providers that cannot be called, each with the reason in a few words."""
        return {name: each.problem for name, each in self._providers.items() if isinstance(each, Unconfigured)}

    def prefills(self, provider: str) -> bool:
        """Return whether a provider can continue an answer from its beginning."""
        return provider in self._providers and self._providers[provider].prefills

    async def begin(self, plan: Plan, tell: Callable[[Notice], None]) -> Begun:
        """Make the next call of a job. Until the first piece arrives, retry the call or turn to a fallback.

        Args:
            plan: What the job has tried, and what it calls next.
            tell: Called with the notice for readers, if a fallback is called.

        Returns:
            The answer that has begun.

        Raises:
            ProviderError: This attempt has nothing left to try.
        """
        if plan.retries:
            await asyncio.sleep(self._retry_policy.pause_seconds(plan.retries))
        verdict: ProviderError | None = None
        while True:
            try:
                await self._pass_over(plan)
                if notice := plan.take_notice():
                    tell(notice)
                return await self._begin(plan)
            except ProviderError as error:
                # If a fallback cannot be called at all, that does not say whether a retry would help.
                if verdict is None or error.code not in _UNFIT:
                    verdict = error
                if not plan.falls_back(error):
                    raise verdict from verdict.__cause__

    async def heed(self, request: AnyRequest, error: ProviderError) -> None:
        """Tell all workers about a rate limit, if the error is one.

        Args:
            request: The request of the call.
            error: The error that ended the call.
        """
        if error.code is FailureCode.PROVIDER_RATE_LIMITED:
            seconds = error.retry_after_seconds or self._retry_policy.rate_limit_seconds
            await self._rate_limits.tell(request.provider, request.model, seconds)

    async def _pass_over(self, plan: Plan) -> None:
        """Raise `ProviderError` if the target is rate limited, and a fallback takes calls now or sooner."""
        choice = plan.choice
        if len(choice) == 1:
            return
        left = await self._rate_limits.left(*((each.provider, each.model) for each in choice))
        soonest = left.index(min(left))
        if soonest:
            plan.prefer(soonest)
            raise ProviderError(
                f"{choice[0].provider} {choice[0].model} is rate limited for another {left[0]:.1f} s.",
                code=FailureCode.PROVIDER_RATE_LIMITED,
                retryable=True,
            )

    async def _begin(self, plan: Plan) -> Begun:
        request = plan.request
        provider = self._provider(plan)
        async for attempt in self._retry_policy.tries(self._settings.provider_tries, is_last=plan.is_last):
            with attempt:
                return await self._try(provider, request)
        raise AssertionError("the last try raises")  # pragma: no cover

    async def _try(self, provider: Provider, request: AnyRequest) -> Begun:
        await self._rate_limits.wait(request.provider, request.model)
        await self._building.acquire()
        # The next request is built in a later turn of the event loop, so that all other tasks run in between.
        asyncio.get_running_loop().call_soon(self._building.release)
        limits = self._settings.timeouts.tightened(request.timeouts)
        watch = CallWatch(limits if request.stream else limits.of_plain_call)
        if isinstance(request, VerbatimRequest):
            rest = provider.stream_verbatim(request)
        elif _parts(request) <= _MAX_PARTS_AT_ONCE:
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
                    if not isinstance(piece, TokenCounts):
                        break
        except ProviderError as error:
            # The provider's own message may quote the prompt. It goes to the readers of the stream, not to the log.
            id_ = error.request_id or "-"
            _logger.debug("a call to %s %s failed: %s, request id %s", request.provider, request.model, error.code, id_)
            await self.heed(request, error)
            raise
        return begun

    def _provider(self, plan: Plan) -> Provider:
        request, name = plan.request, plan.request.provider
        if problems := self._problems(request, plan.own):
            raise ProviderError("; ".join(map(str, problems)), code=FailureCode.INVALID_REQUEST, retryable=False)
        if name not in self._providers:
            raise ProviderError(
                f"This worker has no provider {name!r}, only {', '.join(self._providers)}: "
                "use one of these, or add it to the worker's TAILRACE_PROVIDERS.",
                code=FailureCode.PROVIDER_NOT_CONFIGURED,
                retryable=False,
            )
        return self._providers[name]

    def _problems(self, request: AnyRequest, own: AnyRequest) -> list[Problem]:
        """Find what the provider of a request cannot do, if only the settings define it.

        Args:
            request: The request to send.
            own: The job's own request, of which it may be a fallback.
        """
        kind = self._kind(request.provider)
        if isinstance(request, VerbatimRequest):
            api = request.api or self._kind(own.provider)
            why = f"{request.provider} does not have the API that the body is written for"
            told = f"{why}, {api}" if api else f"{why}, which is not known: give it"
            return [] if kind == api else [Problem(("api",), told)]
        entry = self._settings.providers.get(request.provider)
        return unsupported(entry.kind, request, provider=request.provider) if entry else []

    def _kind(self, provider: str) -> ApiKind | None:
        entry = self._settings.providers.get(provider)
        return entry.kind if entry else builtin_kind(provider)


def _parts(request: GenerationRequest) -> int:
    """Return how many messages, and parts of messages, an adapter has to write."""
    parts = len(request.messages)
    for message in request.messages:
        for field in ("content", "tool_calls", "reasoning"):
            value = message.get(field)
            if isinstance(value, list):
                parts += len(cast("list[object]", value))
    return parts
