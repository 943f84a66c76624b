"""What a job has tried, what it has said, and what it tries next."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta, Notice
from tailrace.protocol.attempts import Resumed
from tailrace.request.generation_request import GenerationRequest
from tailrace.request.messages import AssistantMessage
from tailrace_worker.providers.base import Content

FALLBACK: Final = "fallback"
"""The code of the notice that a fallback is taken."""

DEADLINES: Final = frozenset({FailureCode.FIRST_TOKEN_TIMEOUT, FailureCode.IDLE_TIMEOUT, FailureCode.TOTAL_TIMEOUT})
"""Whoever is called again after one of these would be waited for even longer."""
_FINAL: Final = DEADLINES | {FailureCode.CONTENT_BLOCKED, FailureCode.TOO_LONG}
"""What ends a job that has spoken, whatever the request says of interruptions."""
_SOON_SECONDS: Final = 60.0
"""Who is rate limited for longer is not come back to."""


class Course:
    """The way of one job through its providers, over all the attempts that one worker makes of it.

    It begins with the job's own request, and turns to a fallback where no try is left. `prefills` tells of a provider
    whether it goes on from the beginning of an answer.
    """

    def __init__(
        self, request: GenerationRequest, *, max_attempts: int, max_bytes: int, prefills: Callable[[str], bool]
    ) -> None:
        self.request = request
        """What is called now."""
        self.continues = False
        """Whether the attempt goes on from the text of those before."""
        self.has_spoken = False
        """Whether the attempt has said anything that readers have."""
        self.last_seq = 0
        """The `SEQ` of the last entry of the attempt that broke off."""
        self.retries = 0
        """How many attempts in a row have broken off that called what is called now."""
        self._own = self._target = request
        self._told = request
        """The target that readers know of."""
        self._why = ""
        """What was wrong with the target before this one."""
        self._fallbacks = deque(request.falling_back(each) for each in request.fallbacks)
        self._returns = len(self._fallbacks)
        """How often one that is rate limited is still put at the end of the line, and not left for good."""
        self._max_attempts = max_attempts
        self._max_bytes = max_bytes
        self.left_bytes = max_bytes
        """How much may still be said, in this attempt and those after it."""
        self._prefills = prefills
        self._text: list[str] = []
        self._is_text_alone = True

    @property
    def remembers(self) -> bool:
        """Whether another attempt could go on from what this one says: then every piece of that is to be remembered."""
        return self._target.on_interrupt == "continue"

    def remember(self, content: Content) -> None:
        """A piece of the answer has gone to the readers."""
        if isinstance(content, Delta):
            self._text.append(content.text)
        else:
            self._is_text_alone = False

    def spend(self, said_bytes: int) -> None:
        """So much is said. Raises `ProviderError` where it is more than may be."""
        self.left_bytes -= said_bytes
        if self.left_bytes < 0:
            raise ProviderError(
                f"The answer has more than {self._max_bytes:,} bytes, which is the worker's TAILRACE_MAX_ANSWER_BYTES.",
                code=FailureCode.TOO_LONG,
                retryable=False,
            )

    @property
    def is_last(self) -> bool:
        """Whether nobody is left to fall back to."""
        return not self._fallbacks

    @property
    def choice(self) -> Sequence[GenerationRequest]:
        """The target, and behind it, in their order, those that are called in its place while it takes no calls."""
        return (self._target, *self._fallbacks) if self._returns else (self._target,)

    def prefer(self, place: int) -> None:
        """The next fallback is the one at that place of the `choice`; those before it go to the end of the line."""
        self._fallbacks.rotate(1 - place)

    def falls_back(self, error: ProviderError) -> bool:
        """Turns to the next fallback, where there is one and nothing was said yet."""
        return not self.continues and self._fall_back(error)

    def goes_on(self, error: ProviderError) -> bool:
        """Whether there is another attempt after this one, which has broken off; `request` is then what it calls."""
        if self._target.on_interrupt == "fail" or not (self.has_spoken or self.continues) or error.code in _FINAL:
            return False
        if self.continues and not self.has_spoken and error.code is FailureCode.PROVIDER_REJECTED:
            # Not every model takes the beginning of its answer: the next attempt does without.
            self._is_text_alone = False
        elif error.retryable and self.retries + 1 < self._max_attempts and not self._has_better(error):
            self.retries += 1
        elif not self._fall_back(error):
            return False
        self._resume()
        return True

    @property
    def said(self) -> str:
        """The text of earlier attempts that stands."""
        return "".join(self._text) if self.continues else ""

    @property
    def resumed(self) -> Resumed:
        """What readers are told of the attempt that goes on."""
        return Resumed(
            provider=self.request.provider,
            model=self.request.model,
            continues=self.continues,
            last_seq=self.last_seq,
        )

    def take_notice(self) -> Notice | None:
        """What readers are to be told once, before anything else."""
        if self._told is self._target:
            return None
        self._told = self._target
        return Notice(code=FALLBACK, message=f"{self._why} {self._target.provider} {self._target.model} goes on.")

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
        # White space at the end of it is refused (https://docs.anthropic.com/en/docs/build-with-claude/prefill).
        text = "".join(self._text)
        beginning = text.rstrip()
        self.has_spoken = False
        self.continues = bool(beginning) and self._is_text_alone and self._prefills(self._target.provider)
        if self.continues:
            said = AssistantMessage(role="assistant", content=beginning)
            self.request = self._target.model_copy(update={"messages": [*self._target.messages, said]})
        else:
            self.request = self._target
            # What earlier attempts have told is void.
            self._told = self._own
            self._text.clear()
            self._is_text_alone = True
