"""Maps a provider's own word for the end of an answer to a finish reason."""

import re
from collections.abc import Mapping
from typing import Final

from tailrace.events import FinishReason
from tailrace_worker.providers.errors import ErrorEvent

_MEANINGS: Final[Mapping[str, FinishReason | None]] = {
    "error": None,
    "filter": "content_filter",
    "refusal": "refusal",
    "length": "length",
    "tool": "tool_calls",
}
_HINT: Final = re.compile(
    r"(?P<error>error|fail|malformed|invalid|unexpected|abort|cancel|timeout|timed.?out|interrupt|unavailable|overload"
    r"|network|insufficient|rate.?limit|quota|too.?many|exception|deadline|disconnect|crash|preempt)"
    r"|(?P<filter>filter|sensitive|safety|moderat|block|prohibit|recitation|spii|polic|violat|harm|guardrail|risk|toxic"
    r"|unsafe|profan|copyright|forbidden|denied)"
    r"|(?P<refusal>refus)"
    r"|(?P<length>length|limit|max.?|truncat|context|exceed|budget|incomplete)"
    r"|(?P<tool>tool|function)",
    re.IGNORECASE,
)
_ORDER: Final = tuple(_MEANINGS)


def finish_reason(word: str, words: Mapping[str, FinishReason]) -> FinishReason:
    """Return the finish reason for a provider's word, from the table of its API or else from a hint in the word.

    Compatible servers send the words of Gemini (`MALFORMED_FUNCTION_CALL`), Zhipu (`sensitive`, `network_error`), vLLM
    (`abort`), DeepSeek (`insufficient_system_resource`) and others. A word without a hint means `stop`.

    Args:
        word: The provider's word.
        words: The table of its API.

    Raises:
        ErrorEvent: The word says that the server gave up on the answer.
    """
    if reason := words.get(word):
        return reason
    hints = {name for found in _HINT.finditer(word) for name, text in found.groupdict().items() if text}
    if not hints:
        return "stop"
    meaning = _MEANINGS[min(hints, key=_ORDER.index)]
    if meaning is None:
        raise ErrorEvent({"message": f"its finish reason is {word!r}"})
    return meaning
