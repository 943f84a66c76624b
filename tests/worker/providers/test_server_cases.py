"""A few of the answers of compatible servers, run as jobs: one call each, and the right ending."""

from dataclasses import replace

import pytest

from tailrace import Tailrace
from tailrace_worker.generation import Generations
from tests.support.case_job import problems
from tests.support.wire_case import WireCase
from tests.worker.providers import test_messages_servers as messages
from tests.worker.providers import test_responses_servers as responses

NAMES = {
    "no last event",
    "[DONE] in place of the last event",
    "the last event without its blank line",
    "two calls at one index, which end after both",
    "no index (llama.cpp)",
    "another id in each event (Copilot)",
    "a completed response that is incomplete",
    "a pair in two pieces of the text",
    "the stop reason of a text",
    "a block begins before the one before ends (llama.cpp)",
    "in the block of the text (LiteLLM)",
}
SEEN_BY_READERS = {"text", "reasoning", "finish", "tools", "usage"}
CASES = [case for case in (*responses.CASES, *messages.CASES) if case.name in NAMES]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_job_reads_the_answer_in_one_call(
    case: WireCase, tailrace: Tailrace, generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = {name: value for name, value in case.right.items() if name in SEEN_BY_READERS}
    case = replace(case, right={**right, "ending": "completed", "calls": 1})
    assert await problems(case, tailrace, generations, monkeypatch) == []
