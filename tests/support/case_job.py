"""A case of a compatible server, run as a job."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tailrace import GenerationRequest, Tailrace
from tailrace.answer import Answer
from tailrace.events import Completed, Failed
from tailrace.protocol.keys import arq_retry
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.rate_limits import RateLimits
from tailrace_worker.attempt.retry_policy import RetryPolicy
from tailrace_worker.generation import Generations
from tailrace_worker.providers.base import Provider
from tests.support.raw_server import Peer, raw_providers
from tests.support.streams import run_unclaimed
from tests.support.wire_case import WireCase, called, wrong


async def problems(
    case: WireCase, tailrace: Tailrace, generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Run a case as a job, and say what is not right with its answer."""
    async with _serving(case, monkeypatch) as (server, providers):
        throttle = RateLimits(generations.broker, generations.keys)
        quick = RetryPolicy(first_wait_seconds=0.001, jitter_seconds=0.001)
        calls = Calls(providers, throttle, generations.settings, retry_policy=quick)
        real = replace(generations, calls=calls)
        job = await tailrace.enqueue(case.asking())
        # What arq counts when it starts the first attempt.
        await generations.broker.call("SET", arq_retry(job.id), 1)
        async with asyncio.timeout(30):
            await run_unclaimed(real, job.id, 1)
            answer = await job.answer()
    _check_next_turn(case, answer)
    return wrong(case, _read(answer, server))


def _check_next_turn(case: WireCase, answer: Answer) -> None:
    """Check that a request takes the answer as a message of the turn before; raise `ValidationError` if not."""
    message = answer.message
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in message.get("tool_calls", ())
    ]
    messages = [*case.asking().messages, message, *results, {"role": "user", "content": "Go on."}]
    GenerationRequest.model_validate({**case.asking().model_dump(), "messages": messages})


class _CaseServer:
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
async def _serving(
    case: WireCase, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[_CaseServer, Mapping[str, Provider]]]:
    """Open the adapters, pointed at a server that answers as the case says."""
    server = _CaseServer(case)
    async with raw_providers(server.serve, monkeypatch) as providers:
        yield server, providers


def _read(answer: Answer, server: _CaseServer) -> Mapping[str, Any]:
    ending, tools = answer.ending, answer.tool_calls
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
        "tools": called(tools),
        "ntools": len(tools),
        "names": [call.name for call in tools],
        "calls": len(server.called_at),
        "mingap": min(gaps, default=None),
    }
