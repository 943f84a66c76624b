"""The AI SDK's UI message stream."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.encoders import AiSdkEncoder, ReplayFrom, SdkVersion
from tailrace.events import (
    Box,
    Cancelled,
    Citation,
    Completed,
    Delta,
    Event,
    Failed,
    FinishReason,
    Notice,
    Reasoning,
    Refusal,
    Started,
    ToolCall,
)
from tests.support.job_streams import JOB, job_streams, last_restart, unhurried, with_ids
from tests.support.ui_message import UiMessage, agree_with_answer, frames_of, ui_message

versions = pytest.mark.parametrize("version", [6, 7])


def encoded(events: Sequence[Event], version: SdkVersion) -> list[bytes]:
    encoder = AiSdkEncoder(JOB, sdk_version=version)
    return [encoder.encode(event) for event in events]


def started(attempt: int = 1, *, continues: bool = False) -> Started:
    return Started(at=1, attempt=attempt, provider="p", model="m", worker="w:1", continues=continues)


def message(*said: Event, version: SdkVersion = 7) -> UiMessage:
    return ui_message(b"".join(encoded(with_ids([started(), *said]), version)))


def completed(finish_reason: FinishReason = "stop") -> Completed:
    return Completed(at=1, finish_reason=finish_reason)


@versions
@unhurried
@given(events=job_streams(has_ended=False))
@pytest.mark.slow
def test_the_frames_so_far_do_not_depend_on_what_comes(events: list[Event], version: SdkVersion) -> None:
    full = encoded(events, version)
    for seen in range(len(events)):
        assert encoded(events[:seen], version) == full[:seen]


@unhurried
@given(events=job_streams(), data=st.data())
@pytest.mark.slow
def test_in_version_7_the_message_says_what_the_answer_says_at_every_moment(
    events: list[Event], data: st.DataObject
) -> None:
    seen = events[: data.draw(st.integers(1, len(events)))]
    agree_with_answer(ui_message(b"".join(encoded(seen, 7))), seen)


@unhurried
@given(events=job_streams(), data=st.data())
def test_in_version_6_a_response_that_begins_at_the_last_restart_says_what_the_answer_says(
    events: list[Event], data: st.DataObject
) -> None:
    begin = last_restart(events)
    seen = events[begin : data.draw(st.integers(begin + 1, len(events)))]
    agree_with_answer(ui_message(b"".join(encoded(seen, 6))), seen)


@unhurried
@given(events=job_streams())
def test_in_version_6_the_response_ends_with_the_restart_that_makes_void_what_it_shows(events: list[Event]) -> None:
    encoder = AiSdkEncoder(JOB, sdk_version=6)
    restarts = 0
    stream = b""
    for at, event in enumerate(events):
        frames = encoder.encode(event)
        stream += frames
        if b"started again" in frames:
            restarts += 1
            assert encoder.is_over
            assert frames.endswith(b"data: [DONE]\n\n")
            agree_with_answer(ui_message(stream), events[:at], is_over=True)
        elif restarts:
            assert frames == b""
    assert restarts <= 1
    assert encoder.is_over
    assert b"reset-step" not in stream


def test_the_parts_stand_in_the_order_in_which_they_were_said() -> None:
    shown = message(
        Reasoning(text="Hm. "),
        Reasoning(text="", signature="c2ln"),
        Delta(text="I look "),
        Delta(text="it up."),
        ToolCall(index=0, call_id="a", name="look_up", arguments='{"word":'),
        ToolCall(index=1, call_id="b", name="weather"),
        ToolCall(index=0, arguments=' "mill"}\r\n'),
        Reasoning(text="So."),
        Refusal(text="No."),
        completed("tool_calls"),
    )
    assert [(part["type"], part.get("text", part.get("input"))) for part in shown.parts] == [
        ("step-start", None),
        ("reasoning", "Hm. "),
        ("text", "I look it up."),
        ("tool", {"word": "mill"}),
        ("tool", {}),
        ("reasoning", "So."),
        ("text", "No."),
    ]
    assert shown.parts[1]["providerMetadata"] == {"tailrace": {"signature": "c2ln"}}
    assert shown.parts[6]["providerMetadata"] == {"tailrace": {"refusal": True}}
    assert "providerMetadata" not in shown.parts[5]
    assert shown.finish_reason == "tool-calls"


def test_a_signature_without_a_thought_is_a_part_of_its_own() -> None:
    shown = message(Delta(text="x"), Reasoning(text="", signature="one"), Reasoning(text="", signature="two"))
    assert [part["providerMetadata"]["tailrace"]["signature"] for part in shown.of("reasoning")] == ["one", "two"]


@pytest.mark.parametrize(
    "arguments",
    ["{", '{"a": NaN}', '{"__proto__": {}}', '{"a": [{"\\u005f_proto__": 1}]}', "[" * 100_000, "\ufeff{}", "text"],
)
def test_arguments_that_the_client_could_not_read_are_an_error_of_their_call(arguments: str) -> None:
    shown = message(ToolCall(index=0, call_id="a", name="t", arguments=arguments), completed())
    (call,) = shown.of("tool")
    assert (call["state"], call["input"]) == ("output-error", arguments)
    assert "not valid JSON" in call["errorText"]


def test_arguments_reach_the_client_as_the_provider_wrote_them() -> None:
    arguments = '{"constructor": 1,\n "a": 1e400, "b": 12345678901234567890.0, "c": "\u2028"}'
    said: list[Event] = [ToolCall(index=0, call_id="a", name="t", arguments=arguments), completed()]
    frames = frames_of(b"".join(encoded(with_ids(said), 7)))
    (available,) = (frame for frame in frames if "tool-input-available" in frame)
    assert available.endswith(f'"input":{arguments.replace(chr(10), " ")}}}')


@pytest.mark.parametrize("ending", [Failed(at=1, code="c", message="m"), Cancelled(at=1)])
def test_a_call_of_an_answer_that_broke_off_is_not_run(ending: Event) -> None:
    shown = message(ToolCall(index=0, call_id="a", name="t", arguments="{}"), ending)
    assert [part["state"] for part in shown.of("tool")] == ["output-error"]


def test_a_restart_takes_back_what_was_shown_only_if_something_was() -> None:
    said: list[Event] = [
        started(),
        Notice(code="c", message="m"),
        started(2),
        Delta(text="void"),
        started(3),
        Delta(text="valid"),
    ]
    shown = ui_message(b"".join(encoded(with_ids(said), 7)))
    assert (shown.texts("text"), shown.resets) == ("valid", 1)


def test_an_attempt_that_continues_goes_on_in_the_same_part() -> None:
    shown = message(Delta(text="one "), started(2, continues=True), Delta(text="two"), version=6)
    assert [part["text"] for part in shown.of("text")] == ["one two"]
    thought = message(Reasoning(text="cut"), started(2, continues=True), Reasoning(text="anew"), version=6)
    assert [part["text"] for part in thought.of("reasoning")] == ["cut", "anew"]


def test_a_notice_is_no_part_of_the_message() -> None:
    shown = message(Notice(code="redacted", message="2 e-mail addresses"), Box(x1=0, y1=0, x2=1, y2=1, start=0, end=4))
    assert shown.transient == [{"code": "redacted", "message": "2 e-mail addresses"}]
    assert [part["id"] for part in shown.of("data-box")] == ["1-3"]


def test_a_citation_is_a_source() -> None:
    page = Citation(source="web", url="https://example.org/mill", title="Mills", quote="A mill has", start=0, end=4)
    book = Citation(source="document", source_index=0, unit="pages", source_start=3, source_end=4)
    url, document = message(Delta(text="Mill"), page, book).parts[2:]
    assert (url["type"], url["sourceId"], url["url"], url["title"]) == ("source-url", "1-3", page.url, "Mills")
    assert url["providerMetadata"]["tailrace"]["quote"] == "A mill has"
    assert (document["type"], document["sourceId"], document["mediaType"], document["title"]) == (
        *("source-document", "1-4", "application/pdf", "document"),
    )


@versions
def test_a_stream_that_breaks_off_says_so_and_ends(version: SdkVersion) -> None:
    encoder = AiSdkEncoder(JOB, sdk_version=version)
    shown = ui_message(encoder.encode(started()) + encoder.broken_off())
    assert (len(shown.errors), shown.is_done) == (1, True)


def test_the_service_names_the_message_and_the_version_decides_where_a_replay_begins() -> None:
    encoder = AiSdkEncoder(JOB, message_id="msg-1")
    assert ui_message(encoder.encode(started())).id == "msg-1"
    assert encoder.replay_from is ReplayFrom.LAST_RESTART
    assert AiSdkEncoder(JOB, sdk_version=7).replay_from is ReplayFrom.BEGINNING
    assert encoder.headers == {"x-vercel-ai-ui-message-stream": "v1"}
