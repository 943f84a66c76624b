"""An answer of a compatible server, byte for byte, and what is right to read from it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tailrace import GenerationRequest
from tailrace.api_kinds import ApiKind
from tailrace.attempt_content import CalledTool
from tailrace_worker.providers.json_decoder import members
from tests.recorded.folded import Call

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class WireCase:
    """One answer, or one for each call."""

    name: str
    kind: ApiKind
    answers: Sequence[bytes] = field(repr=False)
    """The responses, heads included; the last one is for all calls that follow."""
    right: Mapping[str, Any]
    request: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seconds_between_events: float = 0.0

    def __str__(self) -> str:
        return self.name

    def answer(self, call: int) -> bytes:
        """Return the response to a call."""
        return self.answers[min(call, len(self.answers) - 1)]

    def body(self) -> bytes:
        """Return the body of the first response."""
        return self.answers[0].partition(b"\r\n\r\n")[2]

    def asking(self) -> GenerationRequest:
        """Return the request that it answers."""
        simplest = {"provider": self.kind, "model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        return GenerationRequest.model_validate({**simplest, **self.request})


def streamed(*events: object, end: bytes = b"\n\n", done: bool = False) -> bytes:
    """Return the response with these events; `end` is what follows the last one."""
    texts = [_event(event) for event in (*events, *([b"data: [DONE]"] if done else []))]
    body = b"\n\n".join(texts) + end
    return HEAD + b"content-length: %d\r\n\r\n" % len(body) + body


def plain(body: object, status: str = "200 OK") -> bytes:
    """Return the response that is this JSON."""
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


def _event(event: object) -> bytes:
    if isinstance(event, bytes):
        return event
    kind = members(event).get("type")
    name = f"event: {kind}\n" if kind else ""
    return f"{name}data: {json.dumps(event)}".encode()


def called(calls: Iterable[Call | CalledTool]) -> list[list[object]]:
    """Return the id, the name and the value of the arguments of each call."""
    return [[call.call_id, call.name, _parsed(call.arguments)] for call in calls]


def wrong(case: WireCase, read: Mapping[str, Any]) -> list[str]:
    """Say what of the right values was not read."""
    wrong: list[str] = []
    for name, right in case.right.items():
        found: Any = read[name]
        match name:
            case "says":
                is_right = right in found
            case "mingap":
                is_right = found is not None and found >= right
            case "tools":
                # An id that the server does not give is whichever id the call gets.
                given = [[call_id or got[0], *rest] for (call_id, *rest), got in zip(right, found, strict=False)]
                is_right = len(right) == len(found) and found == given
            case "finish":
                is_right = found == str(right).removesuffix("?")
            case _:
                is_right = found == right
        if not is_right:
            wrong.append(f"{name}: read {found!r}, right is {right!r}")
    return wrong


def _parsed(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
