"""What is read from the body of an error, in any of its forms."""

import json

import httpx2
import openai
import pytest
from aiohttp import web

from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.errors import FailureCode, ProviderError
from tests.support.raw_server import CHUNKED, END, Peer, chunk, raw_providers
from tests.support.told_error import REQUEST, RETRY_INFO, refused, told
from tests.support.wire import asking
from tests.support.wire_server import providers_at

all_kinds = pytest.mark.parametrize("kind", API_KINDS)

UPSTREAM = json.dumps({"error": {"message": "Prompt too long.", "code": "context_length_exceeded"}})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("out of order", "out of order"),
        ({"error": "no such thing"}, "no such thing"),
        ({"error": {"message": "No such thing.", "type": "invalid_request_error"}}, "No such thing"),
        ({"type": "error", "error": {"type": "api_error", "message": "No such thing"}}, "No such thing"),
        ({"object": "error", "message": "No such thing", "type": "BadRequestError", "code": 400}, "No such thing"),
        ({"object": "error", "message": {"detail": [{"msg": "No such thing"}]}}, "No such thing"),
        ({"message": "No such thing"}, "No such thing"),
        ({"code": 404, "msg": "No such thing", "success": False}, "No such thing"),
        ([{"error": {"code": 400, "message": "No such thing", "status": "INVALID_ARGUMENT"}}], "No such thing"),
        (
            {"success": False, "errors": [{"message": "One thing", "code": 7}, {"message": "Another."}]},
            "One thing; Another",
        ),
        ({"errors": ["One thing", "another"]}, "One thing; another"),
        ({"detail": "Model is not loaded"}, "Model is not loaded"),
        ({"detail": {"message": "Model is not loaded", "code": "not_loaded"}}, "Model is not loaded"),
        ({"detail": {"error": {"message": "Model is not loaded"}}}, "Model is not loaded"),
        (
            {"detail": [{"loc": ["body"], "msg": "Field required"}, {"msg": "Too long"}]},
            "body: Field required; Too long",
        ),
        ({"detail": [{"loc": ["body", "messages", 0], "msg": "Field required"}]}, "body.messages.0: Field required"),
        ({"base_resp": {"status_code": 2013, "status_msg": "invalid params"}}, "invalid params"),
        ({"base_resp": {"status_code": 0, "status_msg": "success"}, "error": "no such thing"}, "no such thing"),
        ({"error": "Bad Request", "message": "No such thing", "status": 400}, "Bad Request; No such thing"),
        ({"error": "Bad Request", "details": "No such thing"}, "Bad Request; No such thing"),
        ({"error": {"message": "no such thing"}, "message": "There is no such thing"}, "There is no such thing"),
        ({"error": {"message": "", "code": "no_such_thing"}}, "no_such_thing"),
        ({"error": {"message": UPSTREAM, "code": 400}}, "Prompt too long"),
        ({"error": {"message": f"Upstream said: {UPSTREAM} (try 2)"}}, "Upstream said: Prompt too long (try 2)"),
        ({"error": {"message": json.dumps({"error": {"message": UPSTREAM}})}}, "Prompt too long"),
        (
            {"error": {"message": "Failed", "metadata": {"raw": UPSTREAM, "provider_name": "Acme"}}},
            "Failed; Prompt too long",
        ),
        ({"error": {"message": "Failed", "metadata": {"raw": "too long"}}}, "Failed; too long"),
        (
            {"message": 'Unknown role in {"role": "x", "message": "Hi"}'},
            'Unknown role in {"role": "x", "message": "Hi"}',
        ),
        ({"message": 'Cut off: {"error": {"mess'}, 'Cut off: {"error": {"mess'),
        (f"event:error\ndata:{UPSTREAM}\n", "event:error data:Prompt too long"),
    ],
    ids=json.dumps,
)
def test_the_words_of_any_server_are_told(body: object, words: str) -> None:
    assert f"answered 422: {words}. " in str(told(refused(422, body)))


@all_kinds
@pytest.mark.parametrize("stream", [True, False])
async def test_words_that_stand_beside_the_error_of_a_body_reach_the_reader(
    kind: ApiKind, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=400, text=r'{"error": "Bad Request", "message": "No su\ud83dch thing"}')

    async with providers_at(handle, monkeypatch) as providers:
        with pytest.raises(ProviderError, match=r"answered 400: Bad Request; No su\?ch thing\. "):
            assert not [piece async for piece in providers[kind].stream(asking(kind, stream=stream))]


@all_kinds
@pytest.mark.parametrize("stream", [True, False])
async def test_a_list_of_errors_is_told_with_the_wait_that_it_asks_for(
    kind: ApiKind, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [{"error": {"code": 429, "message": "So it is.", "status": "RESOURCE_EXHAUSTED", "details": [RETRY_INFO]}}]

    async def handle(_: web.Request) -> web.Response:
        return web.json_response(said, status=429)

    async with providers_at(handle, monkeypatch) as providers:
        with pytest.raises(ProviderError, match="answered 429: So it is") as raised:
            assert not [piece async for piece in providers[kind].stream(asking(kind, stream=stream))]

    assert raised.value.code is FailureCode.PROVIDER_RATE_LIMITED
    assert raised.value.retry_after_seconds == 20.04466179


@all_kinds
async def test_an_error_event_of_any_form_is_told(kind: ApiKind, monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        said = b'event: error\ndata: [{"error": {"code": 500, "message": "Failed to decode"}}]\n\n'
        await peer.say(CHUNKED, chunk(said), END)

    async with raw_providers(serve, monkeypatch) as providers:
        with pytest.raises(ProviderError, match="broke off its answer: Failed to decode") as raised:
            assert not [piece async for piece in providers[kind].stream(asking(kind))]

    assert raised.value.code is FailureCode.PROVIDER_UNAVAILABLE


def test_only_the_first_of_many_errors_are_told() -> None:
    text = str(told(refused(422, {"errors": [{"message": f"error {number}"} for number in range(100)]})))

    assert "error 7. Change the request." in text


def test_no_body_is_too_deep_to_be_told() -> None:
    deep = "[" * 100_000
    response = httpx2.Response(422, request=REQUEST, text=deep)
    nested: object = "no such thing"
    for _ in range(100):
        nested = {"error": nested}

    for body in (deep, f'{{"error": {deep}', nested):
        error = openai.APIStatusError("Error code", response=response, body=body)
        assert told(error).code is FailureCode.PROVIDER_REJECTED
