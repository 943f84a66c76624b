"""Messages and tools in OpenAI's own form."""

import json
from collections import UserList, deque
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tailrace import GenerationRequest
from tailrace.errors import NewerRequest
from tailrace.request.validation import described

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
OURS = {"id": "call_1", "name": "weather", "arguments": '{"city": "Rome"}'}
ASKED = [{"role": "user", "content": "Hi"}]
WEB = "https://example.org/mill"
PNG = "data:image/png;base64,YQ=="
PDF = "data:application/pdf;base64,YQ=="


def requested(**fields: Any) -> GenerationRequest:
    return GenerationRequest.model_validate({"provider": "openai", "model": "m", "messages": ASKED, **fields})


def refused(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        requested(**fields)
    return described(caught.value)


def user(*parts: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("part", "ours"),
    [
        ({"type": "text", "text": "a"}, {"type": "text", "text": "a"}),
        ({"type": "input_text", "text": "a"}, {"type": "text", "text": "a"}),
        ({"type": "image_url", "image_url": {"url": WEB}}, {"type": "image", "url": WEB}),
        ({"type": "image_url", "image_url": {"url": WEB, "detail": "auto"}}, {"type": "image", "url": WEB}),
        (
            {"type": "image_url", "image_url": {"url": PNG, "detail": None}},
            {"type": "image", "data": "YQ==", "media_type": "image/png"},
        ),
        ({"type": "input_image", "image_url": WEB, "file_id": None}, {"type": "image", "url": WEB}),
        (
            {"type": "input_image", "image_url": PNG, "detail": "auto"},
            {"type": "image", "data": "YQ==", "media_type": "image/png"},
        ),
        (
            {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
            {"type": "document", "data": "YQ==", "media_type": "application/pdf", "name": "a.pdf"},
        ),
        (
            {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
            {"type": "document", "data": "YQ==", "media_type": "application/pdf", "name": "a.pdf"},
        ),
    ],
)
def test_a_part_that_means_the_same_is_translated(part: dict[str, Any], ours: dict[str, Any]) -> None:
    assert requested(messages=user(part)).messages == user(ours)


def test_a_document_by_its_url_is_translated() -> None:
    request = requested(provider="anthropic", messages=user({"type": "input_file", "file_url": WEB}))
    assert request.messages == user({"type": "document", "url": WEB})


@pytest.mark.parametrize(
    ("message", "ours"),
    [
        ({"role": "developer", "content": "Be brief."}, {"role": "system", "content": "Be brief."}),
        ({"role": "system", "name": None, "content": "Be brief."}, None),
        ({"type": "message", "role": "user", "content": "Hi"}, {"role": "user", "content": "Hi"}),
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "assistant", "tool_calls": [OURS]}),
        (
            {"role": "assistant", "content": "It rains.", "refusal": None, "audio": None, "annotations": []},
            {"role": "assistant", "content": "It rains."},
        ),
        (
            {"role": "assistant", "content": "It rains.", "function_call": None, "tool_calls": None},
            {"role": "assistant", "content": "It rains."},
        ),
        ({"role": "assistant", "content": None, "refusal": "No."}, {"role": "assistant", "content": "No."}),
        (
            {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}]},
            {"role": "assistant", "content": "ab"},
        ),
        (
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
            {"role": "assistant", "content": "a"},
        ),
    ],
)  # fmt: skip
def test_a_message_that_means_the_same_is_translated(message: dict[str, Any], ours: dict[str, Any] | None) -> None:
    request = requested(messages=[message, *ASKED])
    assert request.messages[0] == (ours or {"role": "system", "content": "Be brief."})


def test_the_result_of_a_tool_is_translated() -> None:
    result = {"role": "tool", "tool_call_id": "call_1", "content": "It rains."}
    messages = [{"role": "assistant", "content": None, "tool_calls": [CALL]}, {**result, "name": "weather"}]
    assert requested(messages=messages).messages[1] == result


@pytest.mark.parametrize(
    ("tool", "ours"),
    [
        ({"type": "function", "function": {"name": "now"}}, {"name": "now"}),
        (
            {
                "type": "function",
                "function": {"name": "now", "description": "It is.", "parameters": {}, "strict": True},
            },
            {"name": "now", "description": "It is.", "parameters": {}, "strict": True},
        ),
        (
            {"type": "function", "name": "now", "description": None, "parameters": None, "strict": None},
            {"name": "now"},
        ),
    ],
)
def test_a_tool_is_translated(tool: dict[str, Any], ours: dict[str, Any]) -> None:
    assert requested(tools=[tool]).tools == [ours]


@pytest.mark.parametrize(
    "choice", [{"type": "function", "function": {"name": "now"}}, {"type": "function", "name": "now"}]
)
def test_the_choice_of_a_tool_is_translated(choice: dict[str, Any]) -> None:
    assert requested(tools=[{"name": "now"}], tool_choice=choice).tool_choice == {"name": "now"}


def test_what_is_translated_is_stored_in_our_form() -> None:
    request = requested(messages=user({"type": "image_url", "image_url": {"url": WEB}}))
    stored = json.loads(request.to_json(max_bytes=1_000))
    assert stored["messages"] == user({"type": "image", "url": WEB})


def test_a_body_of_stock_arq_may_be_in_the_form_of_openai() -> None:
    body = {"provider": "openai", "model": "m", "messages": user({"type": "image_url", "image_url": {"url": WEB}})}
    assert GenerationRequest.from_json(json.dumps(body)).messages == user({"type": "image", "url": WEB})


UNSAYABLE: list[tuple[dict[str, Any], str]] = [
    ({"role": "function", "name": "f", "content": "x"}, "role: this role is obsolete: use `tool`"),
    ({"role": "user", "name": "Bob", "content": "x"}, "name: messages have no `name`"),
    ({"role": "developer", "name": "Bob", "content": "x"}, "name: messages have no `name`"),
    ({"role": "assistant", "name": "Bob", "content": "x"}, "name: messages have no `name`"),
    ({"role": "assistant", "audio": {"id": "a"}}, "audio: a tailrace job cannot carry audio"),
    ({"role": "assistant", "function_call": {"name": "f"}}, "function_call: this field is obsolete"),
    (
        {"role": "assistant", "tool_calls": [{"id": "1", "type": "custom", "custom": {}}]},
        "tool_calls.0.type: only calls of a `function` can be sent back",
    ),
    ({"type": "function_call", "name": "f"}, "type: this is an item of Responses: use `tool_calls`"),
    ({"type": "function_call_output", "output": "x"}, "type: this is an item of Responses: use a message"),
    ({"type": "reasoning", "summary": []}, "type: this is an item of Responses: use `answer.message`"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "says"), UNSAYABLE)
def test_a_message_that_cannot_be_said_is_refused_with_what_to_write(message: dict[str, Any], says: str) -> None:
    assert refused(messages=[*ASKED, message]).startswith(f"messages.1.{says}")


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"type": "image_url"}, 'type: has no `image_url` with a `url`: write {"type": "image", "url": …}'),
        ({"type": "image_url", "image_url": {"url": WEB, "detail": "high"}}, "image_url.detail: images have no"),
        ({"type": "input_image", "image_url": WEB, "detail": "low"}, "detail: images have no `detail`"),
        ({"type": "input_image", "file_id": "f"}, "file_id: a tailrace job cannot refer to a file"),
        ({"type": "file", "file": {"file_id": "f"}}, "file.file_id: a tailrace job cannot refer to a file"),
        ({"type": "file"}, "type: has no `file` with `file_data`"),
        ({"type": "input_audio", "input_audio": {}}, "type: a tailrace job cannot carry audio"),
    ],
)  # fmt: skip
def test_a_part_that_cannot_be_said_is_refused_with_what_to_write(part: dict[str, Any], says: str) -> None:
    assert refused(messages=user(part)).startswith(f"messages.0.content.0.{says}")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools.0.type: only `function` is supported: put other tools"),
        ({"tools": [{"name": "a"}], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.type: only `function`"),
    ],
)
def test_what_only_the_provider_knows_is_refused_with_where_it_goes(fields: dict[str, Any], says: str) -> None:
    problem = refused(**fields)
    assert problem.startswith(says)
    assert "into `extra`, as its `tool" in problem


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{"type": "function", "function": {}}]}, "tools.0.function.name"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
    (
        {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"a": object()}}}]},
        "tools.0.function.parameters.a",
    ),
    ({"tools": [{"type": "function", "function": {"name": "a"}}] * 2}, "tools.1.function.name"),
    ({"tools": [{"type": "function"}]}, "tools.0.name"),
    (
        {"tools": [{"name": "a"}], "tool_choice": {"type": "function", "function": {"name": "b"}}},
        "tool_choice.function.name",
    ),
    (
        {"messages": [*ASKED, {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f"}}]}]},
        "messages.1.tool_calls.0.function.arguments",
    ),
    ({"messages": [{"role": "developer"}]}, "messages.0.content"),
    ({"messages": user({"type": "image_url", "image_url": {"url": "ftp://secret"}})},
     "messages.0.content.0.image_url.url"),
    ({"messages": user({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,YQ=="}})},
     "messages.0.content.0.image_url.url"),
    ({"messages": user({"type": "image_url", "image_url": {"url": "data:image/png;base64,secret"}})},
     "messages.0.content.0.image_url.url"),
    ({"messages": user({"type": "input_image", "image_url": "ftp://secret"})}, "messages.0.content.0.image_url"),
    ({"messages": user({"type": "file", "file": {"file_data": PDF, "filename": ""}})},
     "messages.0.content.0.file.filename"),
    ({"messages": user({"type": "input_file", "file_data": "data:secret;base64,YQ=="})},
     "messages.0.content.0.file_data"),
    ({"messages": user({"type": "input_file", "file_url": WEB})}, "messages.0.content.0.file_url"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "path"), WRONG)
def test_a_problem_in_what_was_translated_is_named_by_the_path_that_its_author_wrote(
    fields: dict[str, Any], path: str
) -> None:
    problem = refused(**fields)
    assert problem.partition(":")[0] == path
    assert "secret" not in problem


def test_what_a_later_version_may_know_is_a_newer_request() -> None:
    body = {"provider": "openai", "model": "m", "messages": user({"type": "input_audio", "input_audio": {}})}
    with pytest.raises(NewerRequest, match=r"messages\.0\.content\.0\.type"):
        GenerationRequest.from_json(json.dumps(body))


def test_an_object_of_a_library_is_refused_with_how_to_write_it() -> None:
    class Secret(BaseModel):
        role: str = "assistant"

    assert (
        refused(messages=[*ASKED, Secret()]) == "messages.1: messages are dicts: pass the `model_dump()` of this object"
    )


@pytest.mark.parametrize("sequence", [tuple, deque, UserList])
def test_messages_and_parts_come_in_any_sequence(sequence: Callable[[Any], Any]) -> None:
    image = {"type": "image_url", "image_url": {"url": WEB}}
    messages = sequence([{"role": "user", "content": [{"type": "text", "text": "Hi"}, image]}])
    assert requested(messages=messages).messages == user({"type": "text", "text": "Hi"}, {"type": "image", "url": WEB})
    assert refused(messages=sequence([{"role": "user"}])) == "messages.0.content: Field required"
