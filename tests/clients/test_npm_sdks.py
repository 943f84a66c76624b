"""The official clients from npm, unchanged but for their base URL, against a live gateway."""

import pytest

from tests.clients.conftest import Live, run_node

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("npm_packages"), pytest.mark.timeout(180)]

SAID = "Because of water"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
async def test_a_client_from_npm_finds_what_it_expects(fronts: Live, sdk: str, provider: str) -> None:
    options = {"calling": "tools=1", "slow": "interval_ms=2000", "failing": "status=429"}
    models = {name: f"{provider}/demo?text=Because+of+water&pieces=3&{told}" for name, told in options.items()}
    told = {**models, "model": f"{provider}/demo?text=Because+of+water&pieces=3", "url": fronts.gateway.url}
    came = await run_node(f"{sdk}_sdk.mjs", told)
    assert came["texts"] == [SAID] * 3
    assert came["usage"]
    assert came["calls"] == 1
    assert [(name, status) for name, status, _ in came["errors"]] == [
        ("NotFoundError", 404),
        ("BadRequestError", 400),
        ("ConflictError", 409),
        ("RateLimitError", 429),
    ]
    assert came["models"] == ["fast"]
    # The client has left this one, and the others were asked for once.
    await fronts.call_of(models["slow"].partition("/")[2], "client_closed")
    assert fronts.calls(models["failing"].partition("/")[2]) == 1


async def test_the_responses_of_a_client_from_npm_are_resumed_and_cancelled(fronts: Live) -> None:
    model = "openai/demo?text=Because+of+water&pieces=3"
    told = {"model": model, "calling": f"{model}&tools=2", "slow": f"{model}&first_token_ms=60000"}
    came = await run_node("openai_responses.mjs", {**told, "url": fronts.gateway.url})
    assert came == {
        "texts": [SAID] * 3,
        "calls": 2,
        "statuses": ["queued", "cancelled", "cancelled"],
        "isExact": True,
        "errors": [["NotFoundError", 404], ["BadRequestError", 400]],
    }
