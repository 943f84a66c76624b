"""What verbs print for events if stdout is a pipe, or a terminal that cannot be drawn on."""

import json
import sys

import pytest

from tailrace import EntryId, Job, Tailrace
from tailrace.cli.display.choice import open_display, short_names
from tailrace.cli.display.json_lines import JsonLines
from tailrace.cli.display.plain import PlainLines, PlainText
from tailrace.events import (
    Cancelled,
    Citation,
    Completed,
    Delta,
    Event,
    Failed,
    Gap,
    Notice,
    Queued,
    Reasoning,
    Refusal,
    Started,
    ToolCall,
)

JOBS = [Tailrace.connect("redis://localhost:1").job(job_id) for job_id in ("hX3vJ0c2TqK9bWm5", "hX3vJ0d2TqK9bWm5")]
JOB = JOBS[0]


def started(attempt: int, *, continues: bool = False) -> Started:
    return Started(
        at=1, attempt=attempt, provider="openai", model="m", worker="w", reason="worker_lost", continues=continues
    )


def shown(capsys: pytest.CaptureFixture[str], *events: Event) -> tuple[str, str]:
    plain = PlainText()
    for event in events:
        plain.show(JOB, event)
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


def test_remarks_begin_on_a_line_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
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
    monkeypatch.setenv("TERM", "xterm")
    assert shown(capsys, Reasoning(text="hm")) == ("", "\x1b[2mhm\x1b[22m")


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_gets_no_escape_sequences(
    term: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", term)
    assert isinstance(open_display([JOB]), PlainText)
    assert shown(capsys, Reasoning(text="hm")) == ("", "hm")


def test_a_new_attempt_says_that_the_text_so_far_is_void(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = shown(capsys, started(1), Delta(text="one"), started(2))
    assert err == "\nattempt 2 begins (worker_lost): the text before this line is void\n"


def test_an_attempt_that_continues_the_text_is_not_announced(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, started(1), Delta(text="one"), started(2, continues=True)) == ("one", "")


MILL = Citation(source="web", start=0, end=3, url="https://mill.example", title="The mill\n")
CITED: list[Event] = [
    started(1),
    Citation(source="web", url="https://void.example"),
    started(2),
    Delta(text="one\n"),
    MILL,
    Citation(source="document", source_index=1, quote="Water.", unit="pages", source_start=3, source_end=4),
    Citation(source="file", title="mills.pdf", file_id="file-1"),
    MILL,
    Citation(source="web", url="https://other.example"),
    Completed(at=2, finish_reason="stop"),
]
SOURCES = [
    "Sources",
    " 1. The mill: https://mill.example",
    " 2. document 2",
    " 3. mills.pdf: file-1",
    " 4. web: https://other.example",
    "completed: stop",
]


def test_the_sources_of_an_answer_are_listed_once_before_its_ending(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = shown(capsys, *CITED)
    assert out == "one\n"
    assert err.splitlines()[1:] == SOURCES


def test_the_sources_of_several_answers_are_listed_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainLines(short_names(JOBS))
    for event in CITED:
        lines.show(JOBS[1], event)
    lines.show(JOB, Completed(at=2, finish_reason="stop"))
    assert [line.partition(" | ") for line in capsys.readouterr().err.splitlines()[1:]] == [
        *(("hX3vJ0d", " | ", line) for line in SOURCES),
        ("hX3vJ0c", " | ", "completed: stop"),
    ]


def test_a_gap_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    gap = Gap(id=EntryId(1, 8), after=EntryId(1, 3), before=EntryId(1, 9))
    assert shown(capsys, gap) == ("", "gap: Redis lost the events between 1-3 and 1-9\n")


def test_a_tool_call_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = shown(
        capsys,
        ToolCall(index=0, name="look_up", arguments='{"word":'),
        ToolCall(index=0, arguments=' "mill"}'),
        ToolCall(index=1, name="stop"),
        Completed(at=2, finish_reason="tool_calls"),
    )
    assert err == 'tool call: look_up {"word": "mill"}\ntool call: stop \ncompleted: tool_calls\n'


def test_a_terminal_gets_no_control_characters_and_a_pipe_gets_every_byte(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = Delta(text="\x1b[2J\x9b\r\n\t\x7f\u202e\u2066")
    assert shown(capsys, evil)[0] == evil.text
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert shown(capsys, evil)[0] == "␛[2J\N{REPLACEMENT CHARACTER}\n\t␡" + "\N{REPLACEMENT CHARACTER}" * 2


def test_lines_of_several_jobs_begin_with_names_that_tell_them_apart(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = JOBS
    lines = PlainLines(short_names(JOBS))
    lines.show(first, Delta(text="one "))
    lines.show(second, Delta(text="1\n2\n\n3"))
    lines.show(first, Delta(text="two\nthree"))
    lines.show(first, Completed(at=2, finish_reason="stop"))
    lines.show(second, Notice(code="redacted", message="a name"))
    out, err = capsys.readouterr()
    assert out == "hX3vJ0d | 1\nhX3vJ0d | 2\nhX3vJ0d | \nhX3vJ0c | one two\nhX3vJ0c | three\nhX3vJ0d | 3\n"
    assert err == "hX3vJ0c | completed: stop\nhX3vJ0d | redacted: a name\n"


@pytest.mark.parametrize(
    ("jobs", "as_json", "raw", "display"),
    [
        (JOBS[:1], False, False, "LiveAnswer"),
        (JOBS, False, False, "LivePanels"),
        (JOBS[:1], False, True, "PlainText"),
        (JOBS, False, True, "PlainLines"),
        (JOBS, True, False, "JsonLines"),
    ],
)
def test_the_display_suits_the_number_of_jobs_and_the_options(
    jobs: list[Job], as_json: bool, raw: bool, display: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert type(open_display(jobs, as_json=as_json, raw=raw)).__name__ == display


def test_a_pipe_or_a_terminal_without_rich_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(open_display([JOB]), PlainText)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("tailrace.cli.display.choice.find_spec", lambda _: None)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    assert isinstance(open_display([JOB]), PlainText)


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
    JsonLines(with_job_id=False).show(JOB, ToolCall(id=EntryId(1, 4), index=0, call_id="call_1", arguments='{"a'))
    line = capsys.readouterr().out
    assert json.loads(line) == {
        "type": "tool_call",
        "id": "1-4",
        "index": 0,
        "call_id": "call_1",
        "arguments": '{"a',
    }


def test_a_worker_as_json_is_an_opaque_id(capsys: pytest.CaptureFixture[str]) -> None:
    event = Started(id=EntryId(1, 2), at=1, attempt=1, provider="openai", model="m", worker="mill.example.org:17")
    JsonLines(with_job_id=False).show(JOB, event)
    line = capsys.readouterr().out
    assert "mill" not in line
    assert json.loads(line) == event.to_dict()


def test_json_holds_any_text_on_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    JsonLines(with_job_id=False).show(JOB, Delta(text="é\n\u2028😀"))
    line = capsys.readouterr().out
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["text"] == "é\n\u2028😀"


def test_json_of_several_jobs_names_the_job_first(capsys: pytest.CaptureFixture[str]) -> None:
    JsonLines(with_job_id=True).show(JOB, Gap(id=EntryId(1, 8), after=EntryId(1, 3), before=EntryId(1, 9)))
    line = capsys.readouterr().out
    assert line.startswith('{"job_id": "hX3vJ0c2TqK9bWm5", "type": "gap"')
    assert json.loads(line) == {"job_id": JOB.id, "type": "gap", "id": "1-8", "after": "1-3", "before": "1-9"}
