"""API keys in requests: who gets in, with what limits, and who does not."""

import asyncio
import gc
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tailrace import JobState, Settings, Tailrace
from tailrace.broker.client import Broker
from tailrace.gateway import create_app
from tailrace.gateway.authentication import AuthenticationLimits
from tests.producer.gateway.conftest import KeyOf
from tests.support.eventually import eventually
from tests.support.gateways import NEW_JOB, ServedGateway, gateway_settings, served

FORGED = f"trk_0123456789ab_{'a' * 43}"


@pytest.fixture
def gateway(gateway: ServedGateway) -> ServedGateway:
    """What it remembers is never older than the next request."""
    gateway.remember(AuthenticationLimits(fresh_seconds=0))
    return gateway


async def post(gateway: ServedGateway, headers: Mapping[str, str], **fields: object) -> httpx.Response:
    return await gateway.client.post("/v1/jobs", json={**NEW_JOB, **fields}, headers=headers)


@pytest.mark.parametrize("name", ["Authorization", "X-API-Key"])
async def test_a_key_is_taken_from_either_header(gateway: ServedGateway, key_of: KeyOf, name: str) -> None:
    token = (await key_of("acme"))["Authorization"].removeprefix("Bearer ")
    headers = {name: f"bearer {token}" if name == "Authorization" else token}
    created = await post(gateway, headers)
    assert created.status_code == 201
    assert created.json()["tenant"] == "acme"


async def test_from_the_first_key_on_nobody_gets_in_without_one(gateway: ServedGateway, key_of: KeyOf) -> None:
    assert (await post(gateway, {})).status_code == 201
    await key_of("acme")
    response = await post(gateway, {})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "unauthorized"
    assert response.headers["www-authenticate"] == "Bearer"
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert (await gateway.client.get(path)).status_code == 200


async def test_the_first_key_is_known_at_once(gateway: ServedGateway, key_of: KeyOf) -> None:
    gateway.remember(AuthenticationLimits(fresh_seconds=60))
    assert (await post(gateway, {})).json()["tenant"] == "default"
    assert (await post(gateway, await key_of("acme"))).json()["tenant"] == "acme"


async def test_to_lose_all_keys_does_not_open_the_gateway(
    gateway: ServedGateway, key_of: KeyOf, tailrace: Tailrace
) -> None:
    headers = await key_of("acme")
    assert (await post(gateway, headers)).status_code == 201
    for key in await tailrace.access.api_keys.read_all():
        await tailrace.access.api_keys.revoke(key.id)
    assert (await post(gateway, {})).status_code == 401
    assert (await post(gateway, headers)).status_code == 401


async def test_a_revoked_key_is_refused_after_what_is_remembered_is_old(
    gateway: ServedGateway, key_of: KeyOf, tailrace: Tailrace
) -> None:
    headers, others = await key_of("acme"), await key_of("other")

    async def is_refused() -> bool:
        return (await gateway.client.get("/v1/jobs", headers=headers)).status_code == 401

    gateway.remember(AuthenticationLimits(fresh_seconds=60))
    assert not await is_refused()
    (acme,) = [key for key in await tailrace.access.api_keys.read_all() if key.tenant == "acme"]
    await tailrace.access.api_keys.revoke(acme.id)
    assert not await is_refused()
    (other,) = await tailrace.access.api_keys.read_all()
    headers = others
    gateway.remember(AuthenticationLimits(fresh_seconds=0.2))
    assert not await is_refused()
    await tailrace.access.api_keys.revoke(other.id)
    await eventually(is_refused)


async def test_a_page_that_was_served_by_another_host_gets_nothing_without_keys(gateway: ServedGateway) -> None:
    # The attack of DNS rebinding: the host's address has become that of the machine.
    response = await gateway.client.get("/v1/jobs", headers={"Host": "attacker.example"})
    assert response.status_code == 401
    assert (await gateway.client.get("/v1/jobs", headers={"Host": "localhost:8700"})).status_code == 200


@pytest.mark.parametrize("origin", ["https://attacker.example", "http://127.0.0.1:1", "null"])
async def test_a_page_of_another_origin_changes_nothing_without_keys(gateway: ServedGateway, origin: str) -> None:
    created = await gateway.enqueue(conversation="chat-42")
    # Browsers send this without asking first.
    response = await gateway.client.post("/v1/conversations/chat-42/stop", headers={"Origin": origin})
    assert response.status_code == 401
    assert "TAILRACE_GATEWAY_CORS_ORIGINS" in response.json()["error"]["message"]
    assert (await gateway.client.get(f"/v1/jobs/{created['id']}")).json()["state"] == "queued"
    own = await gateway.client.post("/v1/conversations/chat-42/stop", headers={"Origin": gateway.url})
    assert own.json() == {"outcome": "cancelled"}


async def test_a_page_of_a_named_origin_may_change_things_without_keys(settings: Settings, tailrace: Tailrace) -> None:
    origin = "https://app.example.com"
    app = create_app(tailrace, gateway_settings(settings, gateway_cors_origins=(origin,)))
    async with served(app) as gateway:
        response = await gateway.client.post("/v1/conversations/chat-42/stop", headers={"Origin": origin})
    assert response.json() == {"outcome": "idle"}


async def test_keys_in_a_file_need_no_redis_and_are_needed_even_if_there_are_none(
    settings: Settings, tailrace: Tailrace, tmp_path: Path
) -> None:
    app = create_app(tailrace, gateway_settings(settings, gateway_keys_file=tmp_path / "keys.json"))
    async with served(app) as gateway:
        assert (await gateway.client.get("/v1/jobs")).status_code == 401
        await tailrace.access.api_keys.create(tenant="acme")
        assert (await gateway.client.get("/v1/jobs")).status_code == 401


async def test_more_requests_than_a_key_may_make_are_told_when_to_come_back(
    gateway: ServedGateway, key_of: KeyOf
) -> None:
    headers, others = await key_of("acme", requests_per_second=3), await key_of("acme")
    responses = await asyncio.gather(*(gateway.client.get("/v1/jobs", headers=headers) for _ in range(40)))
    refused = [response for response in responses if response.status_code == 429]
    assert {response.status_code for response in responses} == {200, 429}
    assert len(refused) > 20
    for response in refused:
        assert response.json()["error"]["code"] == "rate_limited"
        assert response.headers["retry-after"] == "1"
    assert (await gateway.client.get("/v1/jobs", headers=others)).status_code == 200


@pytest.mark.parametrize("limit", ["queued", "running"])
async def test_fifty_requests_at_once_at_two_gateways_do_not_exceed_a_limit_on_jobs(
    gateway: ServedGateway, key_of: KeyOf, settings: Settings, limit: str
) -> None:
    headers = await key_of("acme", **{limit: 5})
    app = create_app(settings=gateway_settings(settings))
    async with served(app) as second:
        responses = await asyncio.gather(*(post(each, headers) for each in (gateway, second) for _ in range(25)))
    created = [response for response in responses if response.status_code == 201]
    refused = [response for response in responses if response.status_code == 429]
    assert (len(created), len(refused)) == (5, 45)
    for response in refused:
        assert response.json()["error"]["code"] == "rate_limited"
        assert int(response.headers["retry-after"]) >= 1
    job = created[0].json()["id"]
    assert (await gateway.client.post(f"/v1/jobs/{job}/cancel", headers=headers)).status_code == 200
    assert (await post(gateway, headers)).status_code == 201


async def test_regenerated_jobs_and_turns_of_chats_count_too(gateway: ServedGateway, key_of: KeyOf) -> None:
    headers = await key_of("acme", queued=1)
    job = (await post(gateway, headers)).json()["id"]
    turn = {**NEW_JOB, "id": "c", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]}
    assert (await gateway.client.post(f"/v1/jobs/{job}/regenerate", headers=headers)).status_code == 429
    assert (await gateway.client.post("/v1/chat", json=turn, headers=headers)).status_code == 429


async def test_a_repeated_request_gets_its_job_even_at_the_limit(gateway: ServedGateway, key_of: KeyOf) -> None:
    headers = {**await key_of("acme", running=1), "Idempotency-Key": "k"}
    first, again = [await post(gateway, headers) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


async def test_a_request_that_is_refused_takes_no_place(gateway: ServedGateway, key_of: KeyOf) -> None:
    headers = await key_of("acme", queued=1)
    for _ in range(3):
        assert (await post(gateway, headers, queue="a b")).status_code == 400
    assert (await post(gateway, headers)).status_code == 201


async def test_wrong_credentials_are_refused_and_leave_nothing_behind(
    gateway: ServedGateway, key_of: KeyOf, broker: Broker, settings: Settings
) -> None:
    good = await key_of("acme")
    created = (await post(gateway, good)).json()
    id_of_good = good["Authorization"].split("_")[1]
    authentication = gateway.remember(AuthenticationLimits())
    before = len(await broker.call("KEYS", f"{settings.prefix}:*"))
    tokens = created["events_url"].partition("token=")[2]
    header, claims, signature = tokens.split(".")

    async def wrong(number: int) -> int:
        forged = secrets.token_urlsafe(32)
        events = f"/v1/jobs/{created['id']}/events"
        attempts: list[tuple[str, dict[str, str]]] = [
            ("/v1/jobs", {"Authorization": f"Bearer {FORGED}"}),
            ("/v1/jobs", {"Authorization": f"Bearer trk_{secrets.token_hex(6)}_{forged}"}),
            ("/v1/jobs", {"X-API-Key": f"trk_{id_of_good}_{forged}"}),
            ("/v1/jobs", {"X-API-Key": "\xff" * 100}),
            ("/v1/jobs", {"Authorization": "Bearer"}),
            ("/v1/jobs", {"Authorization": "Basic YTpi"}),
            (f"{events}?token=", {}),
            (f"{events}?token={forged}", {}),
            (f"{events}?token={header}.{claims}.{forged}", {}),
            (f"{events}?token={header}.{forged}.{signature}", {}),
            (f"{events}?token={forged}.{claims}.{signature}", {}),
            (f"{events}?token={'a' * 5_000}", {}),
            (f"/v1/events?job={created['id']}&token=%00%FF", {}),
        ]
        path, headers = attempts[number % len(attempts)]
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        return (await gateway.client.get(path, headers=raw)).status_code

    for _ in range(20):
        assert set(await asyncio.gather(*(wrong(number) for number in range(26)))) == {401}
    gc.collect()
    assert len(authentication.fresh) <= 1
    assert len(await broker.call("KEYS", f"{settings.prefix}:*")) == before


async def test_no_more_keys_are_remembered_than_may_be(gateway: ServedGateway, key_of: KeyOf) -> None:
    authentication = gateway.remember(AuthenticationLimits(max_fresh=2))
    for number in range(5):
        assert (await gateway.client.get("/v1/jobs", headers=await key_of(f"t{number}"))).status_code == 200
    assert len(authentication.fresh) == 2


async def test_no_credentials_are_in_the_log(
    gateway: ServedGateway, key_of: KeyOf, caplog: pytest.LogCaptureFixture
) -> None:
    headers = await key_of("acme")
    with caplog.at_level(logging.DEBUG):
        created = (await post(gateway, headers)).json()
        await gateway.client.post(created["cancel_url"])
        assert (await gateway.client.get(created["events_url"])).status_code == 200
        await gateway.client.get(f"{created['events_url'][:-3]}xyz")
        await gateway.client.get("/v1/jobs", headers={"X-API-Key": FORGED})
    # The client's own log is not the gateway's.
    told = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("http"))
    assert f"/v1/jobs/{created['id']}/events 200" in told
    for secret in (headers["Authorization"][-43:], created["events_url"][-43:], FORGED, "token="):
        assert secret not in told


async def test_every_response_keeps_browsers_from_passing_its_url_on(gateway: ServedGateway, key_of: KeyOf) -> None:
    created = (await post(gateway, await key_of("acme"))).json()
    await gateway.client.post(created["cancel_url"])
    for path in (created["events_url"], "/v1/jobs", "/openapi.json", "/none"):
        assert (await gateway.client.get(path)).headers["referrer-policy"] == "no-referrer"


async def test_a_job_of_a_limited_key_is_listed_as_any_other(gateway: ServedGateway, key_of: KeyOf) -> None:
    headers = await key_of("acme", queued=2)
    created = (await post(gateway, headers)).json()
    (listed,) = (await gateway.client.get("/v1/jobs", headers=headers)).json()["jobs"]
    assert (listed["id"], listed["state"]) == (created["id"], JobState.QUEUED)
