"""The messages of the next turn: an answer, the results of its tool calls, and further messages."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

from pydantic import ValidationError

from tailrace.request.messages import AssistantMessage, Message, PastToolCall, ToolMessage
from tailrace.request.validation import Path, Problem


class Answered(Protocol):
    """An answer, as far as the next turn needs it."""

    @property
    def message(self) -> AssistantMessage: ...


class NextTurn(NamedTuple):
    """The messages that are added to those of a request."""

    answer: AssistantMessage
    results: Sequence[Message | dict[str, Any]]
    said: Sequence[Message | dict[str, Any]]

    @property
    def messages(self) -> list[Message | dict[str, Any]]:
        """All of them, in their order."""
        return [self.answer, *self.results, *self.said]

    def problems(self, error: ValidationError, past: int) -> Iterator[Problem]:
        """Yield the problems of an error by the paths of the arguments that the author wrote.

        Args:
            error: The error of the whole request.
            past: How many messages the request had before.
        """
        for line in error.errors():
            yield Problem(self._path(line["loc"], past), line["msg"])

    def _path(self, path: Path, past: int) -> Path:
        match path:
            case ("messages", int(index), *rest) if index > past + len(self.results):
                return ("messages", index - past - 1 - len(self.results), *rest)
            case ("messages", int(index), *rest) if index > past:
                return ("tool_results", str(_answered(self.results[index - past - 1])), *rest)
            case _:
                return path


def next_turn(
    answer: AssistantMessage,
    results: Mapping[str, Any] | Sequence[ToolMessage],
    said: Sequence[Message | dict[str, Any]],
) -> NextTurn | list[Problem]:
    """Make the messages of the next turn.

    Args:
        answer: The answer as a message.
        results: The results of its tool calls: by the id of the call, or as messages of the role `tool`.
        said: The messages after the results.

    Returns:
        The messages, with the results in the order of the calls; or the problems of the results.
    """
    calls = answer.get("tool_calls", [])
    problems: list[Problem] = []
    told = list(_by_id(results, problems) if isinstance(results, Mapping) else _listed(results, problems))
    ids = [str(_answered(message)) for message in told]
    problems += _strangers(ids, calls)
    answered = {*results, *ids} if isinstance(results, Mapping) else set(ids)
    answered |= {call_id for call_id in map(_answered, said) if call_id}
    for call in calls:
        if call["id"] not in answered and _is_whole(call):
            problems.append(
                Problem(("tool_results",), f"has no result for the call {call['id']!r} of the tool {call['name']!r}")
            )
    if problems:
        return problems
    order = {call["id"]: place for place, call in enumerate(calls)}
    return NextTurn(answer, sorted(told, key=lambda message: order[str(_answered(message))]), said)


def _by_id(results: Mapping[str, Any], problems: list[Problem]) -> Iterator[Message]:
    for call_id, value in results.items():
        try:
            content = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            problems.append(
                Problem(
                    ("tool_results", call_id),
                    "is neither text nor a JSON value: give parts and failures as messages of the role `tool`",
                )
            )
        else:
            yield ToolMessage(role="tool", tool_call_id=call_id, content=content)


def _listed(results: Sequence[ToolMessage], problems: list[Problem]) -> Iterator[Message]:
    for place, message in enumerate(results):
        if _answered(message) is None:
            why = "is not a message of the role `tool` with a `tool_call_id`"
            problems.append(Problem(("tool_results", place), why))
        else:
            yield message


def _strangers(ids: Sequence[str], calls: Sequence[PastToolCall]) -> Iterator[Problem]:
    known = [call["id"] for call in calls]
    seen: set[str] = set()
    for call_id in ids:
        if call_id not in known:
            called = f"its calls are {', '.join(map(repr, known))}" if known else "it called none"
            yield Problem(("tool_results", call_id), f"the answer has no tool call with this id: {called}")
        elif call_id in seen:
            yield Problem(("tool_results", call_id), "there is another result for this call: give one")
        seen.add(call_id)


def _answered(message: object) -> str | None:
    """Return the id of the call whose result a message is, in whatever form; `None` if it is no result."""
    if not isinstance(message, dict):
        return None
    fields = cast("dict[str, object]", message)
    call_id = fields.get("tool_call_id")
    return call_id if fields.get("role") == "tool" and isinstance(call_id, str) else None


def _is_whole(call: PastToolCall) -> bool:
    """Return whether a call needs a result. One whose arguments were cut is omitted from the next turn without one."""
    try:
        json.loads(call["arguments"] or "{}")
    except (ValueError, RecursionError):
        return False
    return True
