"""The names of models, and what they stand for."""

import json
from typing import Any

import pytest

from tailrace import InvalidSettings, Settings, Tailrace
from tailrace.gateway import GatewaySettings, create_app
from tailrace.gateway.model_table import ModelTable
from tests.support.gateways import gateway_settings, served

MODELS = {
    "*": {"provider": "anthropic"},
    "fast*": {"provider": "never"},
    "fast": {"provider": "openai", "model": "gpt-5-mini", "max_output_tokens": 100},
}
ANTHROPIC = {"anthropic-version": "2023-06-01"}


def test_an_exact_name_is_found_before_the_first_pattern_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_MODELS", json.dumps(MODELS))
    table = ModelTable(GatewaySettings.read().models)
    for asked, provider in {"fast": "openai", "faster": "anthropic", "*": "anthropic"}.items():
        entry = table.find(asked)
        assert entry is not None
        assert entry.provider == provider
    assert [model.name for model in table.listed()] == ["fast"]


@pytest.mark.parametrize(("asked", "given"), [(None, 100), (50, 50), (500, 100)])
def test_a_request_can_only_ask_for_fewer_tokens(asked: int | None, given: int) -> None:
    entry = GatewaySettings.read(models=MODELS).models["fast"]
    assert entry.limited(asked) == given


@pytest.mark.parametrize("value", ["{", '{"a": {}}', '{"a": {"provider": "openai", "modle": "m"}}', '{"": {}}'])
def test_a_wrong_table_is_told_by_its_variable(value: str) -> None:
    with pytest.raises(InvalidSettings, match=r"^TAILRACE_MODELS: "):
        GatewaySettings.read(models=value)


async def test_models_are_listed_in_the_form_of_the_api_that_asks(tailrace: Tailrace, settings: Settings) -> None:
    async with served(create_app(tailrace, gateway_settings(settings, models=MODELS))) as gateway:
        openai = (await gateway.client.get("/v1/models")).json()
        anthropic = (await gateway.client.get("/v1/models", headers=ANTHROPIC)).json()
        assert openai["data"] == [{"id": "fast", "object": "model", "created": 0, "owned_by": "openai"}]
        assert (anthropic["data"][0]["id"], anthropic["has_more"]) == ("fast", False)


@pytest.mark.parametrize("asked", ["openai/gpt-5-mini", "openai-responses/team/model"])
async def test_a_provider_and_its_model_need_no_entry(tailrace: Tailrace, settings: Settings, asked: str) -> None:
    async with served(create_app(tailrace, gateway_settings(settings))) as gateway:
        found = (await gateway.client.get(f"/v1/models/{asked}")).json()
        assert (found["id"], found["owned_by"]) == (asked, asked.partition("/")[0])


@pytest.mark.parametrize("headers", [{}, ANTHROPIC], ids=["openai", "anthropic"])
@pytest.mark.parametrize("asked", ["gpt-5", "nobody/gpt-5", "openai/"])
async def test_a_name_that_is_unknown_is_an_error_that_tells_what_there_is(
    tailrace: Tailrace, settings: Settings, asked: str, headers: dict[str, str]
) -> None:
    models = {"fast": MODELS["fast"]}
    async with served(create_app(tailrace, gateway_settings(settings, models=models))) as gateway:
        response = await gateway.client.get(f"/v1/models/{asked}", headers=headers)
        body: dict[str, Any] = response.json()
        told = "Ask for one of: fast, anthropic/MODEL, openai/MODEL, openai-responses/MODEL."
        assert response.status_code == 404
        assert body["error"]["message"].endswith(told)
        assert body["error"]["type"] == ("not_found_error" if headers else "invalid_request_error")
        assert ("code" in body["error"]) is not bool(headers)
