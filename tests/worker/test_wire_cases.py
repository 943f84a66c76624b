"""Answers as compatible servers really send them, run as jobs."""

import asyncio
import json
from dataclasses import replace

import pytest

from tailrace import GenerationRequest, Tailrace
from tailrace.keys import arq_retry
from tailrace_worker import calls
from tailrace_worker.calls import Calls
from tailrace_worker.generation import Generations
from tailrace_worker.throttle import Throttle
from tests.providers.wire_case import WireCase, problems, serving, streamed
from tests.recorded.replay import SHARED

FOLDER = SHARED / "wire-cases"
if not FOLDER.exists():
    pytest.skip("The wire cases are missing: no ../shared/wire-cases beside the repository.", allow_module_level=True)

HI = streamed({"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}, done=True)


def case_of(name: str) -> WireCase:
    said = json.loads((FOLDER / f"{name}.json").read_text())
    answers = [path for path in (FOLDER / f"{name}.http", FOLDER / f"{name}.2.http") if path.exists()]
    return WireCase(
        name=name,
        kind=said["provider"],
        request=said["request"],
        right=said["right"],
        seconds_between_events=said.get("seconds_between_chunks", 0.0),
        # Where two calls are refused, the third one is answered.
        answers=[*(path.read_bytes() for path in answers), *([HI] if len(answers) > 1 else [])],
    )


CASES = [case_of(path.stem) for path in sorted(FOLDER.glob("*.json"))]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_an_answer_is_neither_lost_nor_doubled_cut_or_called_again(
    case: WireCase,
    tailrace: Tailrace,
    generations: Generations,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "_FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(calls, "_JITTER_SECONDS", 0.001)
    async with serving(case, monkeypatch) as (server, providers):
        throttle = Throttle(generations.broker, generations.keys)
        real = replace(generations, calls=Calls(providers, throttle, generations.settings))
        job = await tailrace.enqueue(case.asking())
        # What arq counts when it starts the first attempt.
        await generations.broker.call("SET", arq_retry(job.id), 1)
        async with asyncio.timeout(30):
            await real.run(job.id, 1)
            answer = await job.answer()
    assert problems(case, answer, server) == []
    message = answer.message
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in message.get("tool_calls", ())
    ]
    messages = [*case.asking().messages, message, *results, {"role": "user", "content": "Go on."}]
    GenerationRequest.model_validate({**case.asking().model_dump(), "messages": messages})
