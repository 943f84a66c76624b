"""An answer of a compatible server, byte for byte, and what is right to read from it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from tailrace import GenerationRequest
from tailrace.answer import Answer
from tailrace.errors import ProviderError
from tailrace.events import Completed, Failed
from tailrace.support import ApiKind
from tailrace_worker.provider import Provider
from tailrace_worker.providers.json_decoder import members
from tests.providers.raw_server import Peer, raw_providers
from tests.providers.wire import EVENT_STREAM, Client, adapter, pieces_of
from tests.recorded.folded import Folded

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


class CaseServer:
    """Answers each request of a case; `called_at` has the times, by the loop's clock."""

    def __init__(self, case: WireCase) -> None:
        self.called_at: list[float] = []
        self._case = case

    async def serve(self, peer: Peer) -> None:
        """Serve a connection."""
        with suppress(asyncio.IncompleteReadError):
            while True:
                await peer.request()
                self.called_at.append(asyncio.get_running_loop().time())
                response = self._case.answer(len(self.called_at) - 1)
                if not self._case.seconds_between_events:
                    await peer.say(response)
                    continue
                *events, last = response.split(b"\n\n")
                for event in events:
                    await peer.say(event + b"\n\n")
                    await asyncio.sleep(self._case.seconds_between_events)
                await peer.say(last)


@asynccontextmanager
async def serving(
    case: WireCase, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[CaseServer, Mapping[str, Provider]]]:
    """Open the adapters, pointed at a server that answers as the case says."""
    server = CaseServer(case)
    async with raw_providers(server.serve, monkeypatch) as providers:
        yield server, providers


async def heard(case: WireCase, chunks: Sequence[bytes]) -> Mapping[str, Any]:
    """Return what an adapter reads from the body of the first response, cut into these chunks."""
    head, answer = case.answers[0].partition(b"\r\n\r\n")[0], Folded()
    is_json = b"application/json" in head
    client = Client(chunks, content_type="application/json" if is_json else EVENT_STREAM)
    failure: ProviderError | None = None
    try:
        async for piece in pieces_of(adapter(case.kind, client), case.asking()):
            answer.add(piece)
    except ProviderError as error:
        failure = error
    finish = answer.finishes[0] if answer.finishes else None
    calls = answer.calls.values()
    return {
        "text": answer.text,
        "reasoning": answer.reasoning,
        "refusal": answer.refusal,
        "finish": finish.reason if finish else "BROKEN",
        "word": finish.provider_reason if finish else None,
        "ending": "failed" if failure else "completed",
        "code": str(failure.code) if failure else None,
        "retryable": failure.retryable if failure else None,
        "says": str(failure) if failure else "",
        "usage": [answer.usage.input_tokens, answer.usage.output_tokens],
        "tools": [[call.call_id, call.name, _parsed(call.arguments)] for call in calls],
        "signed": [block.get("signature") for block in answer.blocks],
    }


def problems(case: WireCase, answer: Answer, server: CaseServer) -> list[str]:
    """Say what is not right with an answer that a job has read."""
    return wrong(case, _read(answer, server))


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


def _read(answer: Answer, server: CaseServer) -> Mapping[str, Any]:
    ending, calls = answer.ending, answer.tool_calls
    failed = ending if isinstance(ending, Failed) else None
    gaps = [after - before for before, after in pairwise(server.called_at)]
    return {
        "text": answer.text,
        "reasoning": answer.reasoning,
        "finish": ending.finish_reason if isinstance(ending, Completed) else "BROKEN",
        "ending": ending.type if ending else None,
        "code": failed.code if failed else None,
        "retryable": failed.retryable if failed else None,
        "says": failed.message if failed else "",
        "usage": [answer.input_tokens, answer.output_tokens],
        "refusal": answer.refusal,
        "tools": [[call.call_id, call.name, _parsed(call.arguments)] for call in calls],
        "ntools": len(calls),
        "names": [call.name for call in calls],
        "calls": len(server.called_at),
        "mingap": min(gaps, default=None),
    }


def _parsed(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
