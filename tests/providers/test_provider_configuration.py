"""Keys and base URLs: wrong ones are told in one clear line, and keys never."""

import traceback
from pathlib import Path

import pytest
from aiohttp import web

from tailrace.errors import FailureCode, ProviderError
from tailrace_worker.provider import Provider
from tailrace_worker.providers import open_providers
from tests.providers.wire_server import KEYS, asking, providers_at, serving


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("status", [401, 400, 500])
async def test_a_key_never_gets_into_an_error_even_where_the_provider_echoes_it(
    provider: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def echo(request: web.Request) -> web.Response:
        key = request.headers["Authorization"].removeprefix("Bearer ")
        assert key == KEYS[provider]
        words = f"Incorrect API key provided: {key} ({key[:10]}****{key[-4:]})."
        return web.json_response({"error": {"message": words, "type": "authentication_error"}}, status=status)

    async with providers_at(echo, monkeypatch) as providers:
        error = await failure(providers[provider])

    logged = "".join(traceback.format_exception(error))
    assert "Incorrect API key provided: [key] ([key])" in str(error)
    for secret in (KEYS[provider], KEYS[provider][:10], KEYS[provider][-4:] + ")"):
        assert secret not in logged


async def test_a_key_of_any_shape_is_kept_out_of_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"message": f"Who is {request.headers['Authorization']}?"}, status=401)

    async with serving(echo, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "gateway token 17")
        async with open_providers() as providers:
            error = await failure(providers["openai"])

    assert "Who is Bearer [key]?" in str(error)
    assert "gateway token 17" not in "".join(traceback.format_exception(error))


async def test_an_error_names_the_address_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", KEYS["openai"])
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    async with open_providers() as providers:
        error = await failure(providers["openai"])

    assert (error.code, error.retryable) == (FailureCode.PROVIDER_UNAVAILABLE, True)
    assert "OpenAI cannot be reached: Cannot connect to host 127.0.0.1:1" in str(error)
    assert "OPENAI_BASE_URL" in str(error)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [("API_KEY", None), ("API_KEY", ""), ("API_KEY", "a-key-with\na-newline"), ("BASE_URL", "localhost:80")],
)
async def test_a_provider_that_is_not_configured_says_what_to_set_and_hurts_no_other(
    provider: str, variable: str, value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refusing(_: web.Request) -> web.Response:
        return web.Response(status=500)

    variable = f"{provider.upper()}_{variable}"
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    for credential in ("OPENAI_ADMIN_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(credential, raising=False)

    async with serving(refusing, monkeypatch):
        if value is None:
            monkeypatch.delenv(variable)
        else:
            monkeypatch.setenv(variable, value)
        async with open_providers() as providers:
            errors = [await failure(providers[provider]) for _ in range(2)]
            (other,) = [await failure(providers[name]) for name in providers if name != provider]

    assert other.code is FailureCode.PROVIDER_UNAVAILABLE
    for error in errors:
        assert (error.code, error.retryable) == (FailureCode.PROVIDER_NOT_CONFIGURED, False)
        assert variable in str(error)
        assert "a-newline" not in "".join(traceback.format_exception(error))


async def failure(provider: Provider) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        async for _ in provider.stream(asking("openai")):
            pass
    return raised.value
