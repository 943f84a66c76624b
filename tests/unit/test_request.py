"""What is accepted at the door."""

from typing import Any

import pytest
from pydantic import ValidationError

from tailrace import GenerationRequest, InvalidRequest, RequestTooLarge

GOOD: dict[str, Any] = {
    "provider": "anthropic",
    "model": "claude",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"provider": "openia"}, "provider"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"tempreature": 1}, "tempreature"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        GenerationRequest.model_validate({**GOOD, **change})
    assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [field]


def test_a_request_comes_back_as_it_was_stored() -> None:
    request = GenerationRequest.model_validate({**GOOD, "stop": ["END"], "temperature": 0.5})
    stored = request.to_json(max_bytes=1_000)
    assert "top_p" not in stored
    assert GenerationRequest.from_json(stored) == request


def test_the_limit_counts_bytes_and_not_characters() -> None:
    request = GenerationRequest.model_validate({**GOOD, "model": "ä" * 200})
    size = len(request.to_json(max_bytes=10_000).encode())
    assert request.to_json(max_bytes=size)
    with pytest.raises(RequestTooLarge, match=f"{size:,} bytes"):
        request.to_json(max_bytes=size - 1)


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises((InvalidRequest, ValidationError)):
        GenerationRequest.model_validate({**GOOD, "model": "\ud800"}).to_json(max_bytes=10_000)


def test_a_stored_request_that_no_longer_validates_names_its_field_and_not_its_value() -> None:
    with pytest.raises(InvalidRequest, match=r"messages\.0\.content") as caught:
        GenerationRequest.from_json('{"provider":"openai","model":"m","messages":[{"role":"user","content":7}]}')
    assert "7" not in str(caught.value)
