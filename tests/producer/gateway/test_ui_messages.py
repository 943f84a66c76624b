"""UI messages as messages of a request."""

from typing import Any

import pytest

from tailrace import InvalidRequest
from tailrace.gateway.ui_message import UiMessage
from tailrace.gateway.ui_messages import to_messages


def translated(*messages: dict[str, Any]) -> list[Any]:
    return list(to_messages([UiMessage.model_validate(message) for message in messages]))


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"id": "1", "role": "user", "parts": list(parts)}


def assistant(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"id": "2", "role": "assistant", "parts": list(parts), "metadata": {"jobId": "x"}}


TEXT = {"type": "text", "text": "Look"}


def test_texts_images_and_documents_of_a_user() -> None:
    (message,) = translated(
        user(
            TEXT,
            {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,iVBORw0K", "filename": "a.png"},
            {"type": "file", "mediaType": "image/jpeg", "url": "https://example.com/a.jpg"},
            {"type": "file", "mediaType": "application/pdf", "url": "data:;base64,JVBE", "filename": "a.pdf"},
        )
    )
    assert message["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image", "data": "iVBORw0K", "media_type": "image/png"},
        {"type": "image", "url": "https://example.com/a.jpg"},
        {"type": "document", "data": "JVBE", "media_type": "application/pdf", "name": "a.pdf"},
    ]


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"type": "file", "mediaType": "video/mp4", "url": "https://example.com/a"}, "mediaType"),
        ({"type": "file", "mediaType": "image/png", "url": "data:image/png,abc"}, "base64"),
    ],
)
def test_a_file_that_no_model_can_get_is_refused_by_its_path(part: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^messages\.0\.parts\.1\..*{told}"):
        translated(user(TEXT, part))


def test_a_system_message() -> None:
    assert translated({"role": "system", "parts": [{"type": "text", "text": "Be brief"}]}, user(TEXT))[0] == {
        "role": "system",
        "content": "Be brief",
    }


def test_an_answer_with_a_tool_in_two_steps() -> None:
    messages = translated(
        assistant(
            {"type": "step-start"},
            {"type": "reasoning", "text": "Hm"},
            {"type": "reasoning", "text": "m", "providerMetadata": {"tailrace": {"signature": "s"}}},
            {"type": "text", "text": "I look it up."},
            {
                "type": "tool-weather",
                "toolCallId": "c1",
                "state": "output-available",
                "input": {"city": "Köln"},
                "output": {"degrees": 7},
            },
            {
                "type": "dynamic-tool",
                "toolName": "clock",
                "toolCallId": "c2",
                "state": "output-error",
                "input": None,
                "rawInput": "{",
                "errorText": "no clock",
            },
            {"type": "step-start"},
            {"type": "text", "text": "7 degrees."},
            {"type": "source-url", "sourceId": "s", "url": "https://example.com"},
            {"type": "data-notice", "data": {}},
        )
    )
    assert messages == [
        {
            "role": "assistant",
            "content": "I look it up.",
            "tool_calls": [
                {"id": "c1", "name": "weather", "arguments": '{"city": "K\\u00f6ln"}'},
                {"id": "c2", "name": "clock", "arguments": "{"},
            ],
            "reasoning": [{"text": "Hmm", "signature": "s", "after_chars": 0, "after_calls": 0}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": '{"degrees": 7}'},
        {"role": "tool", "tool_call_id": "c2", "content": "no clock", "is_error": True},
        {"role": "assistant", "content": "7 degrees."},
    ]


def test_reasoning_between_the_text_says_where_it_stood() -> None:
    signed = {"type": "reasoning", "text": "b", "providerMetadata": {"tailrace": {"signature": "s"}}}
    (message,) = translated(assistant(TEXT, signed))
    assert message["reasoning"] == [{"text": "b", "signature": "s", "after_chars": 4, "after_calls": 0}]


@pytest.mark.parametrize("metadata", [None, {}, {"tailrace": 1}, {"tailrace": {"signature": 1}}, {"openai": {"x": 1}}])
def test_reasoning_that_nobody_signed_is_left_out(metadata: Any) -> None:
    (message,) = translated(assistant({"type": "reasoning", "text": "b", "providerMetadata": metadata}, TEXT))
    assert "reasoning" not in message


@pytest.mark.parametrize("state", ["input-streaming", "input-available", "approval-requested"])
def test_a_call_without_an_output_is_left_out(state: str) -> None:
    call: dict[str, Any] = {"type": "tool-x", "toolCallId": "c", "state": state, "input": {}}
    assert translated(assistant(TEXT, call)) == [{"role": "assistant", "content": "Look"}]
    assert translated(assistant(call)) == []
