"""What is accepted at the door of a request in the provider's own words."""

import json
from typing import Any, get_type_hints

import pytest
from pydantic import ValidationError

from tailrace import GenerationRequest, RequestTooLarge, VerbatimRequest
from tailrace.errors import NewerRequest
from tailrace.request.any_request import read_request
from tailrace.request.request_fields import RequestChanges, VerbatimFields

BODY: dict[str, Any] = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "new": 1.0}
FULL: dict[str, Any] = {
    "provider": "anthropic",
    "body": BODY,
    "headers": {"anthropic-beta": "a, b"},
    "api": "anthropic",
    "stream": False,
    "on_interrupt": "fail",
    "fallbacks": [{"provider": "anthropic", "model": "claude-2"}],
    "timeouts": {"idle_seconds": 5.0},
    "guards": [{"type": "block", "words": ["mill"]}, {"type": "moderate", "mode": "lenient"}],
}


def verbatim(**fields: Any) -> VerbatimRequest:
    return VerbatimRequest.model_validate({"provider": "anthropic", "body": BODY, **fields})


@pytest.mark.parametrize("request_", [verbatim(), VerbatimRequest.model_validate(FULL)], ids=["short", "full"])
def test_a_request_comes_back_from_its_record_as_it_was(request_: VerbatimRequest) -> None:
    encoded = request_.to_json(max_bytes=1_000)
    assert json.loads(encoded)["body"] == BODY
    assert read_request(encoded) == read_request(encoded.encode()) == request_


def test_a_request_with_the_word_body_in_it_is_no_verbatim_request() -> None:
    request = GenerationRequest(provider="openai", model="m", messages=[{"role": "user", "content": 'a "body"'}])
    assert read_request(request.to_json(max_bytes=1_000)) == request
    tool = {"name": "t", "parameters": {"type": "object", "properties": {"body": {"type": "string"}}}}
    request = GenerationRequest(provider="openai", model="m", messages=[{"role": "user", "content": "a"}], tools=[tool])
    assert read_request(request.to_json(max_bytes=1_000)) == request


def test_a_worker_that_knows_only_generation_requests_leaves_it_to_newer_ones() -> None:
    with pytest.raises(NewerRequest):
        GenerationRequest.from_json(verbatim().to_json(max_bytes=1_000))


def test_a_field_that_this_version_does_not_know_is_for_newer_workers() -> None:
    with pytest.raises(NewerRequest):
        read_request(json.dumps({"provider": "anthropic", "body": BODY, "mood": "fine"}))


def test_the_size_of_the_body_is_bounded() -> None:
    with pytest.raises(RequestTooLarge):
        verbatim(body={**BODY, "system": "x" * 1_000}).to_json(max_bytes=1_000)


def test_only_the_model_of_the_body_is_replaced_by_that_of_a_fallback() -> None:
    request = VerbatimRequest.model_validate(FULL)
    fallback = request.falling_back(request.fallbacks[0])
    assert fallback.model == "claude-2"
    assert fallback == VerbatimRequest.model_validate({**FULL, "body": {**BODY, "model": "claude-2"}, "fallbacks": []})
    assert request.model == "claude"


def test_names_of_headers_become_lower_case() -> None:
    assert verbatim(headers={"Anthropic-Beta": "a"}).headers == {"anthropic-beta": "a"}


@pytest.mark.parametrize(
    ("fields", "path", "why"),
    [
        ({"body": {}}, "body.model", "name of a model"),
        ({"body": {"model": ""}}, "body.model", "name of a model"),
        ({"body": {"model": 5}}, "body.model", "name of a model"),
        ({"body": {"model": "m", "x": float("nan")}}, "body.x", "not a number"),
        ({"body": {"model": "m", "x": "\ud800"}}, "body.x", "lone surrogate"),
        ({"body": []}, "body", "JSON object"),
        ({"messages": []}, "messages", "put the fields of the provider's API into `body`"),
        ({"headers": {"a b": "c"}}, "headers", "not the name of a header"),
        ({"headers": {"x-a": "b\r\nc: d"}}, "headers.x-a", "printable ASCII"),
        ({"headers": {"x-a": "b", "X-A": "c"}}, "headers.X-A", "given twice"),
        ({"headers": {f"x-{number}": "b" for number in range(17)}}, "headers", "17 headers"),
        ({"headers": {"x-a": "b" * 8_192}}, "headers", "8,195 characters"),
        *(
            ({"headers": {name: "a"}}, f"headers.{name}", "omit it")
            for name in (
                *("Authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token", "cookie"),
                *("proxy-authorization", "host", "content-type", "content-length", "transfer-encoding", "connection"),
                *("accept-encoding", "user-agent", "x-stainless-lang", "openai-organization"),
            )
        ),
        ({"api": "openai"}, "api", "does not have this API"),
        ({"fallbacks": [{"provider": "openai", "model": "m"}]}, "fallbacks.0.provider", "does not have the API"),
        (
            {"provider": "own", "api": "openai", "fallbacks": [{"provider": "anthropic", "model": "m"}]},
            *("fallbacks.0.provider", "does not have the API"),
        ),
        ({"guards": [{"type": "moderate"}, {"type": "clean"}]}, "guards.1", "`clean` changes text"),
        ({"guards": [{"type": "redact", "words": ["a"]}]}, "guards.0", "`redact` changes text"),
        ({"guards": [{"type": "max_chars", "limit": 5}]}, "guards.0", "`max_chars` changes text"),
        ({"on_interrupt": "continue"}, "on_interrupt", "restart"),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_path(fields: dict[str, Any], path: str, why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        verbatim(**fields)
    (line,) = refused.value.errors()
    assert ".".join(map(str, line["loc"])) == path
    assert why in line["msg"]
    assert refused.value.title == "VerbatimRequest"


def test_a_body_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = "x"
    for _ in range(65):
        deep = [deep]
    with pytest.raises(ValidationError, match="nested deeper than 64"):
        verbatim(body={"model": "m", "x": deep})


def test_what_a_provider_of_the_settings_speaks_is_left_to_the_worker() -> None:
    assert verbatim(provider="own", api="openai", fallbacks=[{"provider": "other", "model": "m"}]).api == "openai"
    assert verbatim(provider="own", fallbacks=[{"provider": "openai", "model": "m"}]).api is None


def test_all_fields_may_be_given_by_name() -> None:
    assert get_type_hints(VerbatimFields).keys() == VerbatimRequest.model_fields.keys()
    assert get_type_hints(RequestChanges).keys() >= VerbatimRequest.model_fields.keys()
