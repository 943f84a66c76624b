"""What a job has tried, what it has written, and what it tries next."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta, Notice
from tailrace.protocol.attempts import Resumed
from tailrace.request.any_request import AnyRequest
from tailrace.request.generation_request import GenerationRequest
from tailrace.request.messages import AssistantMessage
from tailrace_worker.attempt.so_far import SoFar
from tailrace_worker.providers.base import Content

FALLBACK: Final = "fallback"
"""The code of the notice that a fallback is called."""

DEADLINES: Final = frozenset({FailureCode.FIRST_TOKEN_TIMEOUT, FailureCode.IDLE_TIMEOUT, FailureCode.TOTAL_TIMEOUT})
"""Errors after which a call is not retried, because a retry would make the job wait even longer."""
_FINAL: Final = DEADLINES | {FailureCode.CONTENT_BLOCKED, FailureCode.TOO_LONG}
"""Errors that end a job even if a part of its answer was written, whatever the request's `on_interrupt` is."""
RAW_FACTOR: Final = 8
"""How many times as many bytes as an answer its frames may have, over all attempts. A frame wraps a token in 100 to 360
bytes, so the default limit is enough for the frames of some 200,000 tokens."""
_SOON_SECONDS: Final = 60.0
"""The longest rate limit of a target that is called again after the fallbacks."""


class Plan:
    """The plan of one job: its target and its fallbacks, over all attempts that one worker makes at it.

    The first target is the job's own request. If no retry is left, the next fallback becomes the target.
    """

    def __init__(
        self, request: AnyRequest, *, max_attempts: int, max_bytes: int, prefills: Callable[[str], bool]
    ) -> None:
        """Plan the first call.

        Args:
            request: The job's own request.
            max_attempts: How many attempts in a row may call the same target, from 1.
            max_bytes: How many bytes the answer may have, over all attempts.
            prefills: Tells whether a provider can continue an answer from its beginning.
        """
        self.own = request
        """The job's own request."""
        self.request = request
        """The request to send now: the target, and the text of earlier attempts if this one continues it."""
        self.continues = False
        """True if the attempt continues the text of earlier attempts."""
        self.has_spoken = False
        """True once the attempt has written anything to the stream that readers have."""
        self.last_seq = 0
        """The `SEQ` of the last entry of the attempt that broke off."""
        self.retries = 0
        """How many attempts in a row have called the target and broken off."""
        self._target = request
        self._told = request
        """The target that readers know of."""
        self._why = ""
        """The error of the target before this one."""
        self._fallbacks = deque[AnyRequest](request.falling_back(each) for each in request.fallbacks)
        self._returns = len(self._fallbacks)
        """How often a target that is rate limited may still go to the end of the line, instead of being dropped."""
        self._max_attempts = max_attempts
        self._max_bytes = max_bytes
        self.left_bytes = max_bytes
        """How many bytes this attempt and later ones may still write."""
        self._left_raw_bytes = RAW_FACTOR * max_bytes
        self._prefills = prefills
        self._text: list[str] = []
        self._is_text_alone = True

    def take_over(self, so_far: SoFar) -> None:
        """Continue the answer of a worker that was lost, with the target of its last attempt.

        Args:
            so_far: The answer so far, which `SoFar.read` found to be one that this worker can continue.
        """
        while (self._target.provider, self._target.model) != (so_far.provider, so_far.model):
            self._why = f"{self._target.provider} {self._target.model} failed."
            self._target = self._fallbacks.popleft()
        self._told = self._target
        self._text.append(so_far.text)
        self.left_bytes -= so_far.said_bytes
        self._resume()

    @property
    def remembers(self) -> bool:
        """True if another attempt could continue the text of this one. Then each piece has to be remembered."""
        return self._target.on_interrupt == "continue"

    def remember(self, content: Content) -> None:
        """Remember a piece of the answer that was written to the stream.

        Args:
            content: The piece.
        """
        if isinstance(content, Delta):
            self._text.append(content.text)
        else:
            self._is_text_alone = False

    def spend(self, said_bytes: int) -> None:
        """Count the bytes of a piece.

        Args:
            said_bytes: How many bytes of UTF-8 the piece has.

        Raises:
            ProviderError: The answer is longer than it may be.
        """
        self.left_bytes -= said_bytes
        if self.left_bytes < 0:
            raise _too_long("The answer has", self._max_bytes)

    def spend_raw(self, raw_bytes: int) -> None:
        """Count the bytes of frames.

        Args:
            raw_bytes: How many bytes the frames of a piece have.

        Raises:
            ProviderError: The frames of the answer are longer than they may be.
        """
        self._left_raw_bytes -= raw_bytes
        if self._left_raw_bytes < 0:
            raise _too_long("The frames of the answer have", RAW_FACTOR * self._max_bytes)

    @property
    def is_last(self) -> bool:
        """True if no fallback is left."""
        return not self._fallbacks

    @property
    def choice(self) -> Sequence[AnyRequest]:
        """The target, and then, in their order, the fallbacks that are called in its place while it is rate limited."""
        return (self._target, *self._fallbacks) if self._returns else (self._target,)

    def prefer(self, place: int) -> None:
        """Make one of the `choice` the next fallback, and move the fallbacks before it to the end of the line.

        Args:
            place: Its index in `choice`, from 1.
        """
        self._fallbacks.rotate(1 - place)

    def falls_back(self, error: ProviderError) -> bool:
        """Turn to the next fallback, unless none is left or the attempt continues an earlier answer.

        Args:
            error: The error of the target, before it sent a piece.

        Returns:
            True if there is a new target.
        """
        return not self.continues and self._fall_back(error)

    def goes_on(self, error: ProviderError) -> bool:
        """Decide whether another attempt follows this one, which has broken off, and prepare its `request`.

        Args:
            error: The error by which the attempt broke off.

        Returns:
            True if another attempt follows.
        """
        if self._target.on_interrupt == "fail" or not (self.has_spoken or self.continues) or error.code in _FINAL:
            return False
        if self.continues and not self.has_spoken and error.code is FailureCode.PROVIDER_REJECTED:
            # Not every model accepts the beginning of its answer. The next attempt begins the answer again.
            self._is_text_alone = False
        elif error.retryable and self.retries + 1 < self._max_attempts and not self._has_better(error):
            self.retries += 1
        elif not self._fall_back(error):
            return False
        self._resume()
        return True

    @property
    def said(self) -> str:
        """The text of earlier attempts that this attempt continues."""
        return "".join(self._text) if self.continues else ""

    @property
    def resumed(self) -> Resumed:
        """What the next `started` event tells readers about the attempt."""
        return Resumed(
            provider=self.request.provider,
            model=self.request.model,
            continues=self.continues,
            last_seq=self.last_seq,
        )

    def take_notice(self) -> Notice | None:
        """Return the notice that a fallback is called, if readers do not have it yet. It comes before the answer."""
        if self._told is self._target:
            return None
        self._told = self._target
        target = f"{self._target.provider} {self._target.model}"
        return Notice(code=FALLBACK, message=f"{self._why} The job continues with {target}.")

    def _has_better(self, error: ProviderError) -> bool:
        return error.code is FailureCode.PROVIDER_RATE_LIMITED and not self.is_last

    def _fall_back(self, error: ProviderError) -> bool:
        if self.is_last:
            return False
        is_limited = error.code is FailureCode.PROVIDER_RATE_LIMITED
        if is_limited and self._returns and (error.retry_after_seconds or 0) <= _SOON_SECONDS:
            self._returns -= 1
            self._fallbacks.append(self._target)
        self._target = self.request = self._fallbacks.popleft()
        self._why = str(error)
        self.retries = 0
        return True

    def _resume(self) -> None:
        # A prefill must not end in white space (https://docs.anthropic.com/en/docs/build-with-claude/prefill).
        text = "".join(self._text)
        beginning = text.rstrip()
        self.has_spoken = False
        target = self._target
        can_continue = bool(beginning) and self._is_text_alone and self._prefills(target.provider)
        if can_continue and isinstance(target, GenerationRequest):
            self.continues = True
            said = AssistantMessage(role="assistant", content=beginning)
            self.request = target.model_copy(update={"messages": [*target.messages, said]})
        else:
            self.continues = False
            self.request = target
            # Readers drop what earlier attempts have written, and with it the notice of a fallback.
            self._told = self.own
            self._text.clear()
            self._is_text_alone = True


def _too_long(what: str, max_bytes: int) -> ProviderError:
    return ProviderError(
        f"{what} more than {max_bytes:,} bytes: ask for a shorter one, or raise the worker's "
        "TAILRACE_MAX_ANSWER_BYTES.",
        code=FailureCode.TOO_LONG,
        retryable=False,
    )
