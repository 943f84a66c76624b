"""What readers that want the answer make of the frames beside it: nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tailrace import Answer, Event, Job, Tailrace, VerbatimRequest
from tailrace.cli.display.plain import PlainText
from tailrace.cursor import EntryId
from tailrace.encoders import AiSdkEncoder, AnthropicMessagesEncoder, OpenAIChatEncoder, OpenAIResponsesEncoder
from tailrace.events import Completed, Delta, Frames, Reasoning, Started, ToolCall

ID = "0123456789abcdef"
RAW = b'content_block_delta:{"text": "\xff"}\n'
CONTENT: list[Any] = [
    Started(at=1, attempt=1, provider="anthropic", model="m", worker="w"),
    Reasoning(text="Hm", raw=RAW),
    Reasoning(text=".", raw=RAW),
    Delta(text="Two ", raw=RAW),
    Delta(text="words", raw=RAW),
    ToolCall(index=0, call_id="c", name="weather", arguments='{"city"', raw=RAW),
    ToolCall(index=0, arguments=': "Rome"}', raw=RAW),
    Completed(at=9, finish_reason="tool_calls", output_tokens=3, raw=RAW),
]


def events() -> tuple[list[Event], list[Event]]:
    """The stream of a verbatim job, and the same without frames."""
    placed: list[Event] = []
    for place, event in enumerate(CONTENT):
        placed.append(replace(event, id=EntryId(1, 2 * place + 2)))
        if place and place + 1 < len(CONTENT):
            placed.append(Frames(id=EntryId(1, 2 * place + 3), raw=b"ping:{}\n"))
    content: list[Any] = [event for event in placed if not isinstance(event, Frames)]
    return placed, [event if isinstance(event, Started) else replace(event, raw=None) for event in content]


@pytest.mark.parametrize(
    "encoder",
    [
        lambda: AiSdkEncoder(ID),
        lambda: AiSdkEncoder(ID, sdk_version=7),
        lambda: OpenAIChatEncoder(ID, include_usage=True),
        lambda: OpenAIResponsesEncoder(ID),
        lambda: AnthropicMessagesEncoder(ID),
    ],
    ids=["ai-sdk-6", "ai-sdk-7", "chat", "responses", "messages"],
)
def test_an_encoder_of_another_protocol_skips_them(encoder: Callable[[], Any]) -> None:
    framed, plain = events()
    first, second = encoder(), encoder()
    assert b"".join(map(first.encode, framed)) == b"".join(map(second.encode, plain))


def test_an_answer_is_the_same_with_and_without_them() -> None:
    answers: list[Any] = []
    for each in events():
        answer = Answer()
        for event in each:
            answer.add(event)
        answers.append((answer.message, answer.text, answer.complete, answer.cursor, answer.finish_reason))
    assert answers[0] == answers[1]
    assert answers[0][1] == "Two words"


def test_a_terminal_shows_none_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    job: Any = None
    shown: list[Any] = []
    for each in events():
        display = PlainText()
        for event in each:
            display.show(job, event)
        shown.append(capsys.readouterr())
    assert shown[0] == shown[1]
    assert shown[0].out.strip() == "Two words"


@pytest.mark.redis
async def test_a_verbatim_job_can_be_enqueued_listed_and_regenerated(tailrace: Tailrace) -> None:
    request = VerbatimRequest(provider="anthropic", body={"model": "m", "messages": []})
    job = await tailrace.enqueue(request, idempotency_key="k", labels={"a": "b"})
    assert await job.request() == request
    status = await job.status()
    assert (status.provider, status.model, dict(status.labels)) == ("anthropic", "m", {"a": "b"})
    again: Job = await tailrace.enqueue(request, idempotency_key="k", labels={"a": "b"})
    assert (again.id, again.is_new) == (job.id, False)
    changed = await job.regenerate(body={"model": "other"}, headers={"anthropic-beta": "x"})
    assert await changed.request() == VerbatimRequest(
        provider="anthropic", body={"model": "other"}, headers={"anthropic-beta": "x"}
    )
    assert (await job.status()).regenerated_as == (changed.id,)
