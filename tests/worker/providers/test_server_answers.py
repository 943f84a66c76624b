"""A handful of answers of compatible servers, run as jobs, and what they refuse a call with."""

from typing import Any

import pytest

from tailrace import Tailrace
from tailrace_worker.generation import Generations
from tests.support.case_job import problems
from tests.support.wire_case import WireCase, plain, streamed
from tests.worker.providers.test_chat_servers import HI, STOP, TABLES

READ = [
    ("whole", "[DONE] without a finish reason"),
    ("whole", "the end is missing"),
    ("after the finish", "a call"),
    ("choices", "each chunk has the message so far"),
    ("calls", "empty arguments come first"),
    ("calls", "one id at two indices"),
    ("half a pair", "in a name, an id, a signature and a finish reason"),
    ("half a pair", "in the blocks of the reasoning"),
    ("errors", "a line that is the error"),
    ("errors", "MiniMax's beside choices"),
]


def refused(status: str, body: object, **right: Any) -> WireCase:
    return WireCase(name=f"{status}: {body}", kind="openai", answers=[plain(body, status), HELLO], right=right)


HELLO = streamed(HI, STOP, done=True)
REFUSED = [
    refused("498 Capacity Exceeded", {"error": {"message": "full", "type": "capacity"}}, text="Hi", calls=2),
    refused("529 Overloaded", [{"error": {"message": "Later."}}], text="Hi", calls=2),
    refused(
        "429 Too Many Requests",
        {"error": {"code": "1113", "message": "余额不足"}},
        code="provider_quota_exceeded",
        says="余额不足",
        calls=1,
    ),
    refused(
        "429 Too Many Requests",
        {"detail": "You have run out of credits."},
        code="provider_quota_exceeded",
        says="out of credits",
        calls=1,
    ),
    refused(
        "422 Unprocessable Entity",
        {"detail": [{"loc": ["body", "tools", 0], "msg": "Input should be an object"}]},
        code="provider_rejected",
        says="body.tools.0: Input should be an object",
        calls=1,
    ),
    refused("400 Bad Request", [{"error": {"message": "No.", "status": "INVALID_ARGUMENT"}}], says="No", calls=1),
    refused(
        "429 Too Many Requests",
        [
            {
                "error": {
                    "code": 429,
                    "message": "Slow down.",
                    "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.5s"}],
                }
            }
        ],
        text="Hi",
        mingap=0.5,
    ),
]


def case_of(table: str, name: str) -> WireCase:
    answer, right = TABLES[table][name]
    seen_by_jobs = {key: value for key, value in right.items() if key not in {"word", "signed"}}
    return WireCase(name=f"{table}: {name}", kind="openai", answers=[answer], right=seen_by_jobs)


@pytest.mark.parametrize("case", [*(case_of(*names) for names in READ), *REFUSED], ids=str)
async def test_a_job_ends_as_the_server_meant_it(
    case: WireCase, tailrace: Tailrace, generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await problems(case, tailrace, generations, monkeypatch) == []
