"""What a job has tried, what it has said, and what it tries next."""

from collections import deque
from collections.abc import Callable
from typing import Final

from tailrace.attempts import Resumed
from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta, Notice
from tailrace.messages import AssistantMessage
from tailrace.request import GenerationRequest
from tailrace_worker.provider import Content

FALLBACK: Final = "fallback"
"""The code of the notice that a fallback is taken."""


DEADLINES: Final = frozenset({FailureCode.FIRST_TOKEN_TIMEOUT, FailureCode.IDLE_TIMEOUT, FailureCode.TOTAL_TIMEOUT})
"""Whoever is called again after one of these would be waited for even longer."""
_FINAL: Final = DEADLINES | {FailureCode.CONTENT_BLOCKED}
"""What ends a job that has spoken, whatever the request says of interruptions."""


class Course:
    """The way of one job through its providers, over all the attempts that one worker makes of it.

    It begins with the job's own request, and turns to a fallback where no try is left. `prefills` tells of a provider
    whether it goes on from the beginning of an answer.
    """

    def __init__(self, request: GenerationRequest, *, max_attempts: int, prefills: Callable[[str], bool]) -> None:
        self.request = request
        """What is called now."""
        self.continues = False
        """Whether the attempt goes on from the text of those before."""
        self.has_spoken = False
        """Whether the attempt has said anything that readers have."""
        self.last_seq = 0
        """The `SEQ` of the last entry of the attempt that broke off."""
        self._target = request
        self._fallbacks = deque(request.falling_back(each) for each in request.fallbacks)
        self._max_attempts = max_attempts
        self._attempts = 1
        self._prefills = prefills
        self._fallback: Notice | None = None
        """Of the fallback that is the target now."""
        self._notice: Notice | None = None
        """What readers were not told yet."""
        self._text: list[str] = []
        self._is_text_alone = True
        self._has_space = False
        """Whether readers have the white space already with which the answer goes on."""

    @property
    def remembers(self) -> bool:
        """Whether another attempt could go on from what this one says: then every piece of that is to be remembered."""
        return self._target.on_interrupt == "continue"

    def remember(self, content: Content) -> Content | None:
        """A piece of the answer has come; returns what readers get of it."""
        if not isinstance(content, Delta):
            self._is_text_alone = False
            return content
        text = content.text.lstrip() if self._has_space else content.text
        if not text:
            return None
        self._has_space = False
        self._text.append(text)
        return Delta(text=text)

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
        elif error.retryable and self._attempts < self._max_attempts:
            self._attempts += 1
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
        notice, self._notice = self._notice, None
        return notice

    def _fall_back(self, error: ProviderError) -> bool:
        if not self._fallbacks:
            return False
        self._target = self.request = self._fallbacks.popleft()
        self._attempts = 1
        self._notice = self._fallback = Notice(
            code=FALLBACK, message=f"{error} {self._target.provider} {self._target.model} goes on."
        )
        return True

    def _resume(self) -> None:
        # White space at the end of it is refused (https://docs.anthropic.com/en/docs/build-with-claude/prefill).
        text = "".join(self._text)
        beginning = text.rstrip()
        self.has_spoken = False
        self.continues = bool(beginning) and self._is_text_alone and self._prefills(self._target.provider)
        self._has_space = self.continues and beginning != text
        if self.continues:
            said = AssistantMessage(role="assistant", content=beginning)
            self.request = self._target.model_copy(update={"messages": [*self._target.messages, said]})
        else:
            self.request = self._target
            # What earlier attempts have told is void.
            self._notice = self._fallback
            self._text.clear()
            self._is_text_alone = True
