"""Answers as compatible servers really send them, run as jobs."""

import json

import pytest

from tailrace import Tailrace
from tailrace_worker.generation import Generations
from tests.recorded.replay import SHARED
from tests.support.case_job import problems
from tests.support.wire_case import WireCase, streamed

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
    assert await problems(case, tailrace, generations, monkeypatch) == []
