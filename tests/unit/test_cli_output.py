"""What verbs print of events."""

import json
import sys

import pytest

from tailrace import EntryId
from tailrace.cli.output import PlainText, print_event
from tailrace.events import (
    Cancelled,
    Completed,
    Delta,
    Event,
    Failed,
    Notice,
    Queued,
    Reasoning,
    Refusal,
    Started,
    ToolCall,
)


def started(attempt: int, *, continues: bool = False) -> Started:
    return Started(
        at=1, attempt=attempt, provider="openai", model="m", worker="w", reason="worker_lost", continues=continues
    )


def shown(capsys: pytest.CaptureFixture[str], *events: Event) -> tuple[str, str]:
    plain = PlainText()
    for event in events:
        plain.show(event)
    out, err = capsys.readouterr()
    return out, err


def test_stdout_gets_the_text_of_the_answer_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = shown(
        capsys,
        Queued(at=1, queue="default"),
        started(1),
        Reasoning(text="hm"),
        Delta(text="one "),
        Notice(code="fallback_taken", message="another model"),
        Refusal(text="no"),
        ToolCall(index=0, name="f", arguments="{}"),
        Delta(text="two"),
        Completed(at=2, finish_reason="stop"),
    )
    assert out == "one two"


def test_what_stands_beside_the_text_begins_on_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = shown(
        capsys,
        Reasoning(text="h"),
        Reasoning(text="m"),
        Delta(text="one"),
        Notice(code="redacted", message="a name"),
        Delta(text="two\n"),
        Completed(at=2, finish_reason="stop"),
    )
    assert err == "hm\n\nredacted: a name\ncompleted: stop\n"


def test_thinking_is_dimmed_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert shown(capsys, Reasoning(text="hm")) == ("", "\x1b[2mhm\x1b[22m")


def test_a_new_attempt_says_that_the_text_so_far_is_void(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = shown(capsys, started(1), Delta(text="one"), started(2))
    assert err == "\nattempt 2 begins (worker_lost): the text before this line is void\n"


def test_an_attempt_that_continues_voids_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, started(1), Delta(text="one"), started(2, continues=True)) == ("one", "")


@pytest.mark.parametrize(
    ("ending", "line"),
    [
        (
            Completed(
                at=1,
                finish_reason="length",
                input_tokens=3,
                output_tokens=120,
                ttft_ms=321,
                duration_ms=4_200,
                tokens_per_second=28.57,
            ),
            "completed: length (3 tokens in, 120 tokens out, first token after 321 ms, ran 4,200 ms, 29 tokens/s)",
        ),
        (
            Failed(at=1, code="provider_rejected", message="openai: 400\n  bad field", duration_ms=0),
            "failed: provider_rejected: openai: 400 bad field (ran 0 ms)",
        ),
        (Cancelled(at=1, reason="user pressed stop"), "cancelled: user pressed stop"),
        (Cancelled(at=1), "cancelled: no reason given"),
    ],
)
def test_an_ending_is_one_line(ending: Event, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, ending) == ("", f"{line}\n")


def test_an_event_as_json_has_its_id_type_and_known_fields(capsys: pytest.CaptureFixture[str]) -> None:
    print_event(ToolCall(id=EntryId(1, 4), index=0, call_id="call_1", arguments='{"a'))
    line = capsys.readouterr().out
    assert json.loads(line) == {
        "type": "tool_call",
        "id": "1-4",
        "index": 0,
        "call_id": "call_1",
        "arguments": '{"a',
    }


def test_json_holds_any_text_on_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    print_event(Delta(text="é\n\u2028😀"))
    line = capsys.readouterr().out
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["text"] == "é\n\u2028😀"
