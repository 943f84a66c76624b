"""Keys and base URLs: wrong ones are told in one clear line, and keys never."""

import json
import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiohttp import web
from multidict import CIMultiDictProxy

from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.errors import FailureCode, ProviderError
from tailrace_worker.providers import open_providers
from tailrace_worker.providers.base import Provider
from tailrace_worker.providers.client_options import ClientOptions
from tailrace_worker.providers.errors import Failures
from tailrace_worker.providers.http.wake_batcher import WakeBatcher
from tailrace_worker.providers.sdks import openai_sdk
from tailrace_worker.settings import ProviderEntry
from tests.support.wire import EVENT_STREAM, asking
from tests.support.wire_server import KEYS, OWNERS, SHORTEST, providers_at, serving

all_kinds = pytest.mark.parametrize("kind", API_KINDS)


async def failure(provider: Provider) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        async for _ in provider.stream(asking("openai")):
            pass
    return raised.value


def logged(error: ProviderError) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


@all_kinds
@pytest.mark.parametrize("status", [401, 400, 500])
async def test_a_key_never_gets_into_an_error_even_where_the_provider_echoes_it(
    kind: ApiKind, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = KEYS[OWNERS[kind]]

    async def echo(request: web.Request) -> web.Response:
        if request.method == "POST":
            assert request.headers["Authorization"] == f"Bearer {key}"
        words = f"Incorrect API key provided: {key} ({key[:10]}****{key[-4:]})."
        return web.json_response({"error": {"message": words, "type": "authentication_error"}}, status=status)

    async with providers_at(echo, monkeypatch) as providers:
        error = await failure(providers[kind])

    assert "Incorrect API key provided: [key] ([key])" in str(error)
    for secret in (key, key[:10], key[-4:] + ")"):
        assert secret not in logged(error)


@all_kinds
async def test_a_key_never_gets_into_an_error_of_a_stream(kind: ApiKind, monkeypatch: pytest.MonkeyPatch) -> None:
    key = KEYS[OWNERS[kind]]
    # Cut off where the part that is left is not known for a key any more.
    words = "x" * (300 - len(key) // 2) + key

    async def echo(_: web.Request) -> web.Response:
        said = f'event: error\ndata: {{"type": "error", "error": {{"message": "{words}", "code": null}}}}\n\n'
        return web.Response(text=said, content_type="text/event-stream")

    async with providers_at(echo, monkeypatch) as providers:
        error = await failure(providers[kind])

    assert "xxx[key]" in str(error)
    assert key[:8] not in logged(error)


@pytest.mark.parametrize("provider", ["openai", "acme"])
async def test_a_key_of_any_shape_is_kept_out_of_errors(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"message": f"Who is {request.headers.get('Authorization')}?"}, status=401)

    async with serving(echo, monkeypatch) as url:
        monkeypatch.setenv("OPENAI_API_KEY", "gateway token 17")
        monkeypatch.setenv("ACME_KEY", "gateway token 17")
        entry = ProviderEntry(kind="openai", base_url=url, key_variable="ACME_KEY")
        async with open_providers({"acme": entry}) as providers:
            error = await failure(providers[provider])

    assert "Who is Bearer [key]?" in str(error)
    assert "gateway token 17" not in logged(error)


@all_kinds
async def test_an_error_names_the_address_that_cannot_be_reached(
    kind: ApiKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    owner = OWNERS[kind].upper()
    monkeypatch.setenv(f"{owner}_API_KEY", KEYS[OWNERS[kind]])
    monkeypatch.setenv(f"{owner}_BASE_URL", "http://127.0.0.1:1/v1")
    async with open_providers({}) as providers:
        error = await failure(providers[kind])

    assert (error.code, error.retryable) == (FailureCode.PROVIDER_UNAVAILABLE, True)
    assert "cannot be reached: Cannot connect to host 127.0.0.1:1" in str(error)
    assert f"{owner}_BASE_URL" in str(error)


@all_kinds
@pytest.mark.parametrize(
    ("variable", "value"),
    [("API_KEY", None), ("API_KEY", ""), ("API_KEY", "a-key-with\na-newline"), ("BASE_URL", "localhost:80")],
)
async def test_a_provider_that_is_not_configured_says_what_to_set_and_hurts_no_other(
    kind: ApiKind, variable: str, value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refusing(_: web.Request) -> web.Response:
        return web.Response(status=500)

    variable = f"{OWNERS[kind].upper()}_{variable}"
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    for credential in ("OPENAI_ADMIN_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(credential, raising=False)

    async with serving(refusing, monkeypatch):
        if value is None:
            monkeypatch.delenv(variable)
        else:
            monkeypatch.setenv(variable, value)
        async with open_providers({}) as providers:
            errors = [await failure(providers[kind]) for _ in range(2)]
            others = [await failure(providers[name]) for name, owner in OWNERS.items() if owner != OWNERS[kind]]

    assert {other.code for other in others} == {FailureCode.PROVIDER_UNAVAILABLE}
    for error in errors:
        assert (error.code, error.retryable) == (FailureCode.PROVIDER_NOT_CONFIGURED, False)
        assert variable in str(error)
        assert "a-newline" not in logged(error)


OF_THE_OWNERS = {
    "OPENAI_ADMIN_KEY": "sk-admin-of-openai",
    "OPENAI_ORG_ID": "org-of-openai",
    "OPENAI_PROJECT_ID": "project-of-openai",
    "OPENAI_CUSTOM_HEADERS": "X-Custom: custom-of-openai\nAuthorization: Bearer sk-custom-of-openai",
    "ANTHROPIC_AUTH_TOKEN": "token-of-anthropic",
    "ANTHROPIC_CUSTOM_HEADERS": "X-Custom: custom-of-anthropic\nAuthorization: Bearer sk-custom-of-anthropic",
}
SECRETS = {*KEYS.values(), "org-of-openai", "project-of-openai", "custom-of-", "token-of-anthropic", "admin-of-openai"}


@all_kinds
@pytest.mark.parametrize("key", ["a-key-of-acme", None])
async def test_a_named_provider_gets_its_own_key_and_nothing_of_anybody_elses(
    kind: ApiKind, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.path.startswith("/acme"):
            # A server that asks for no key gets none, in no header.
            said = [request.headers.get(name) for name in ("Authorization", "X-Api-Key")]
            assert said == [f"Bearer {key}" if key else None, None]
            seen.append(f"{request.method} {request.path} {request.headers}")
        return web.Response(body=SHORTEST[kind], content_type="text/event-stream")

    for variable, value in OF_THE_OWNERS.items():
        monkeypatch.setenv(variable, value)
    if key:
        monkeypatch.setenv("ACME_KEY", key)
    async with serving(answer, monkeypatch) as url:
        entry = ProviderEntry(kind=kind, base_url=f"{url}acme", key_variable="ACME_KEY" if key else None)
        async with open_providers({"acme": entry}) as providers:
            pieces = [piece async for piece in providers["acme"].stream(asking("acme"))]

    assert pieces
    assert len([each for each in seen if each.startswith("POST /acme/")]) == 1
    assert not [secret for secret in SECRETS if secret in "".join(seen)]


async def test_the_owners_themselves_get_what_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            seen.append(str(request.headers))
        return web.Response(body=SHORTEST["openai"], content_type="text/event-stream")

    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-openai")
    entry = ProviderEntry(kind="openai", base_url="http://127.0.0.1:1/v1")
    async with providers_at(answer, monkeypatch, {"acme": entry}) as providers:
        assert [piece async for piece in providers["openai"].stream(asking("openai"))]

        assert os.environ["OPENAI_ORG_ID"] == "org-of-openai"

    assert "org-of-openai" in seen[0]
    assert KEYS["openai"] in seen[0]


@pytest.mark.parametrize("value", [None, ""])
async def test_a_named_provider_without_its_key_says_which_variable_to_set(
    value: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEYS["openai"])
    if value is None:
        monkeypatch.delenv("ACME_KEY", raising=False)
    else:
        monkeypatch.setenv("ACME_KEY", value)
    entry = ProviderEntry(kind="openai", base_url="http://127.0.0.1:1/v1", key_variable="ACME_KEY")
    async with open_providers({"acme": entry}) as providers:
        errors = [await failure(providers["acme"]) for _ in range(2)]

    # It is told at the start of the worker as well.
    assert "acme cannot be called: ACME_KEY is not set" in caplog.messages
    for error in errors:
        assert (error.code, error.retryable) == (FailureCode.PROVIDER_NOT_CONFIGURED, False)
        assert str(error).startswith("acme cannot be called")
        assert "Set ACME_KEY in the worker's environment" in str(error)


@all_kinds
@pytest.mark.parametrize("stream", [True, False])
async def test_a_named_provider_gets_its_headers_with_every_call(
    kind: ApiKind, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[CIMultiDictProxy[str]] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            seen.append(request.headers)
        return web.Response(body=SHORTEST[kind], content_type="text/event-stream")

    monkeypatch.setenv("ACME_KEY", "a-key-of-acme")
    monkeypatch.setenv("ACME_TENANT", "a-tenant-of-acme")
    async with serving(answer, monkeypatch) as url:
        entry = ProviderEntry(
            kind=kind,
            base_url=url,
            key_variable="ACME_KEY",
            headers={"X-Title": "A title, with blanks", "user-agent": "acme/1"},
            header_variables={"x-tenant": "ACME_TENANT"},
        )
        async with open_providers({"acme": entry}) as providers:
            assert [piece async for piece in providers["acme"].stream(asking("acme", stream=stream))]

    (headers,) = seen
    expected = {
        "X-Title": ["A title, with blanks"],
        "User-Agent": ["acme/1"],
        "X-Tenant": ["a-tenant-of-acme"],
        "Authorization": ["Bearer a-key-of-acme"],
        "Content-Type": ["application/json"],
    }
    assert {name: headers.getall(name) for name in expected} == expected


@all_kinds
@pytest.mark.parametrize("key_variable", ["ACME_KEY", None])
@pytest.mark.parametrize("header", ["authorization", "Authorization"])
async def test_a_header_for_the_key_takes_the_place_of_the_sdks(
    kind: ApiKind, key_variable: str | None, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_KEY", "a-key-of-acme")
    monkeypatch.setenv("ACME_AUTH", "Basic YWNtZTphY21l")

    entry = {"key_variable": key_variable, "header_variables": {header: "ACME_AUTH"}}

    assert await authenticated(kind, entry, monkeypatch) == {"Authorization": ["Basic YWNtZTphY21l"]}


@all_kinds
@pytest.mark.parametrize("header", ["Api-Key", "X-Api-Key"])
@pytest.mark.parametrize("place", ["headers", "header_variables"])
async def test_a_key_in_a_header_of_its_own_goes_out_without_an_authorization(
    kind: ApiKind, header: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_KEY", "ACME_VALUE")
    value = "ACME_VALUE" if place == "headers" else "ACME_KEY"

    assert await authenticated(kind, {place: {header: value}}, monkeypatch) == {header: ["ACME_VALUE"]}


async def authenticated(
    kind: ApiKind, entry: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[str]]:
    """The headers for a key that a provider with this entry gets."""
    seen: list[CIMultiDictProxy[str]] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            seen.append(request.headers)
        return web.Response(body=SHORTEST[kind], content_type="text/event-stream")

    async with serving(answer, monkeypatch) as url:
        read = ProviderEntry.model_validate({"kind": kind, "base_url": url, **entry})
        async with open_providers({"acme": read}) as providers:
            assert [piece async for piece in providers["acme"].stream(asking("acme"))]
    (headers,) = seen
    return {name: headers.getall(name) for name in ("Authorization", "Api-Key", "X-Api-Key") if name in headers}


@all_kinds
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "is not set"),
        ("", "is not set"),
        ("a-secret\nof-acme", "begins or ends with white space, or has characters that are not printable ASCII"),
        ("a-secret-of-acme\n", "begins or ends with white space, or has characters that are not printable ASCII"),
        ("a-secrét-of-acme", "begins or ends with white space, or has characters that are not printable ASCII"),
    ],
)
async def test_a_named_provider_without_a_secret_header_says_which_variable_to_set(
    kind: ApiKind,
    value: str | None,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("ACME_KEY", "a-key-of-acme")
    monkeypatch.delenv("ACME_SECRET", raising=False)
    if value is not None:
        monkeypatch.setenv("ACME_SECRET", value)
    entry = ProviderEntry(
        kind=kind,
        base_url="http://127.0.0.1:1/v1",
        key_variable="ACME_KEY",
        header_variables={"X-Secret": "ACME_SECRET"},
    )
    async with open_providers({"acme": entry}) as providers:
        error = await failure(providers["acme"])

    assert f"acme cannot be called: ACME_SECRET {problem}" in caplog.messages
    assert (error.code, error.retryable) == (FailureCode.PROVIDER_NOT_CONFIGURED, False)
    assert str(error).startswith(f"acme cannot be called: ACME_SECRET {problem}. Set ACME_SECRET in the worker's")
    assert "of-acme" not in logged(error)


@all_kinds
@pytest.mark.parametrize("status", [200, 401])
async def test_no_value_of_a_header_gets_into_an_error(
    kind: ApiKind, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def echo(request: web.Request) -> web.Response:
        names = ("Authorization", "X-Secret", "X-Title")
        values = [request.headers.get(name, "") for name in names]
        words = f"Wrong: {' '.join(values)} {values[0].removeprefix('Bearer ')}"
        body = json.dumps({"type": "error", "error": {"message": words}})
        return web.Response(status=status, text=body if status >= 400 else f"event: error\ndata: {body}\n\n")

    monkeypatch.setenv("ACME_SECRET", "a-secret")
    monkeypatch.setenv("ACME_AUTH", "Bearer a-secret-of-acme")
    async with serving(echo, monkeypatch) as url:
        secret = {"Authorization": "ACME_AUTH", "X-Secret": "ACME_SECRET"}
        plain = {"authorization": "Bearer a-secret-of-acme"}
        entries = [
            ProviderEntry(kind=kind, base_url=url, headers={"X-Title": "The title"}, header_variables=secret),
            ProviderEntry(kind=kind, base_url=url, headers={"X-Title": "The title", **plain}),
        ]
        async with open_providers({"secret": entries[0], "plain": entries[1]}) as providers:
            errors = [await failure(providers[name]) for name in ("secret", "plain")]

    assert "Wrong: [key] [key] [key] [key]" in str(errors[0])
    assert "Wrong: [key] [key] [key]" in str(errors[1])
    for error in errors:
        assert "a-secret" not in logged(error)
        assert "The title" not in logged(error)
    assert "The title" not in repr(entries)


async def test_an_entry_that_is_called_like_an_api_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            paths.append(request.path)
        return web.Response(body=SHORTEST["anthropic"], content_type="text/event-stream")

    async with serving(answer, monkeypatch) as url:
        entry = ProviderEntry(kind="anthropic", base_url=f"{url}ours")
        async with open_providers({"openai": entry}) as providers:
            assert [piece async for piece in providers["openai"].stream(asking("openai"))]

    assert paths == ["/ours/v1/messages"]


async def test_a_named_server_gets_the_limit_by_the_name_that_all_of_them_know(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[dict[str, object]] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            bodies.append(await request.json())
        return web.Response(body=SHORTEST["openai"], content_type="text/event-stream")

    async with serving(answer, monkeypatch) as url:
        entry = ProviderEntry(kind="openai", base_url=url)
        async with open_providers({"local": entry}) as providers:
            for name in ("local", "openai"):
                assert [piece async for piece in providers[name].stream(asking(name, max_output_tokens=9))]

    assert [{name: limit for name, limit in body.items() if limit == 9} for body in bodies] == [
        {"max_tokens": 9},
        {"max_completion_tokens": 9},
    ]


@pytest.mark.parametrize(
    ("host", "is_openais"),
    [
        ("api.openai.com", True),
        ("acme.openai.azure.com", True),
        ("notopenai.com", False),
        ("openai.com.acme.org", False),
    ],
)
async def test_a_server_that_openai_or_azure_runs_is_known_by_its_host(host: str, is_openais: bool) -> None:
    bodies: list[dict[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return httpx2.Response(200, headers={"content-type": EVENT_STREAM}, content=SHORTEST["openai"])

    options = ClientOptions(key="any", url=f"https://{host}/v1")
    failures = Failures("Acme", key_variables=("ACME_KEY",), url="ACME_URL")
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        provider, _ = openai_sdk.make_provider("openai", options, failures, WakeBatcher(interval_ms=0), client)
        assert [piece async for piece in provider.stream(asking("openai", max_output_tokens=9))]

    (body,) = bodies
    limits = body.keys() & {"max_tokens", "max_completion_tokens"}
    assert limits == {"max_completion_tokens" if is_openais else "max_tokens"}
