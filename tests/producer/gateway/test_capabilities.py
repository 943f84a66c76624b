"""Signed URLs: what a browser can do with one, and for how long."""

import asyncio
import string
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tailrace import Settings, Tailrace
from tailrace.access.signing_key import SigningKey
from tailrace.broker.client import Broker
from tailrace.gateway import create_app
from tailrace.gateway.authentication import AuthenticationLimits
from tailrace.gateway.capabilities import Capabilities
from tailrace.gateway.errors import Unauthorized
from tailrace.gateway.principal import Scope
from tailrace.protocol.keys import Keys
from tests.producer.gateway.conftest import KeyOf, Worker
from tests.support.eventually import eventually
from tests.support.gateways import NEW_JOB, ServedGateway, gateway_settings, served

OLD, NEW = SigningKey("2026-01", "o" * 32), SigningKey("2026-02", "n" * 32)


def signing_with(*keys: SigningKey, life_seconds: int = 60) -> Capabilities:
    async def configured() -> tuple[SigningKey, ...]:
        return keys

    return Capabilities(configured, life_seconds=life_seconds)


async def signed(by: Capabilities, **changed: Any) -> str:
    fields: dict[str, Any] = {"tenant": "acme", "key_id": "k", "scope": Scope.READ, "expires_at": by.expires_at()}
    fields |= {"job_id": "j", **changed}
    return await by.sign(**fields)


@pytest.fixture
async def headers(key_of: KeyOf) -> Mapping[str, str]:
    return await key_of("acme")


async def created(gateway: ServedGateway, headers: Mapping[str, str], **fields: Any) -> dict[str, Any]:
    response = await gateway.client.post("/v1/jobs", json={**NEW_JOB, **fields}, headers=headers)
    assert response.status_code == 201
    found: dict[str, Any] = response.json()
    return found


async def test_a_token_says_who_may_do_what_with_which_job() -> None:
    by = signing_with(NEW)
    token = await signed(by, scope=Scope.CANCEL)
    principal = await by.verify(token)
    assert (principal.tenant, principal.key_id, principal.limits) == ("acme", "k", None)
    assert principal.capability is not None
    assert principal.capability.scopes == {Scope.CANCEL}
    assert (principal.capability.job_id, principal.capability.conversation) == ("j", None)
    assert set(token) <= set(string.ascii_letters + string.digits + "-_.")
    assert len(token) < 256


async def test_a_token_with_any_other_character_is_refused() -> None:
    by = signing_with(NEW)
    token = await signed(by)
    for place in range(len(token)):
        for other in ("A" if token[place] != "A" else "B", "_" if token[place] != "_" else "-", ""):
            with pytest.raises(Unauthorized):
                await by.verify(token[:place] + other + token[place + 1 :])
    with pytest.raises(Unauthorized):
        await by.verify(f"{token}A")


async def test_a_token_ends_when_it_says_so() -> None:
    by = signing_with(NEW)
    await by.verify(await signed(by, expires_at=int(time.time()) + 5))
    with pytest.raises(Unauthorized):
        await by.verify(await signed(by, expires_at=int(time.time()) - 1))


async def test_signing_keys_rotate() -> None:
    before, meanwhile, after = signing_with(OLD), signing_with(NEW, OLD), signing_with(NEW)
    old, new = await signed(before), await signed(meanwhile)
    await meanwhile.verify(old)
    await after.verify(new)
    with pytest.raises(Unauthorized):
        await after.verify(old)
    with pytest.raises(Unauthorized):
        await signing_with(SigningKey(OLD.id, NEW.secret)).verify(old)


@pytest.mark.parametrize(
    "token",
    [
        # {"alg":"none"} and {"v":1}, with no signature and with one of the right form.
        "eyJhbGciOiJub25lIn0.eyJ2IjoxfQ.",
        f"eyJhbGciOiJub25lIn0.eyJ2IjoxfQ.{'A' * 43}",
        f"W10.W10.{'A' * 43}",
        # A header of 3,000 lists in each other, one that is no JSON, and one that is no UTF-8.
        f"{'W1tb' * 1_000}.W10.{'A' * 43}",
        f"e30x.W10.{'A' * 43}",
        f"____.W10.{'A' * 43}",
        f"{'A' * 43}",
        "",
    ],
)
async def test_a_token_of_another_kind_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized):
        await signing_with(NEW).verify(token)


async def test_gateways_without_signing_keys_share_one_in_redis(tailrace: Tailrace, settings: Settings) -> None:
    async with Tailrace.connect(**settings.model_dump()) as other:
        found = await asyncio.gather(*(each.access.signing_key() for each in (tailrace, other) for _ in range(5)))
    assert len(set(found)) == 1
    assert len(found[0].secret) >= 32


async def test_a_browser_reads_and_stops_a_job_without_a_key(
    gateway: ServedGateway, headers: Mapping[str, str], working: Worker
) -> None:
    job = await created(gateway, headers)
    await working(job["id"]).start()
    assert job["expires_at"] == pytest.approx(time.time() + 3_600, abs=60)
    async with gateway.stream(job["events_url"]) as events:
        assert (await anext(events)).event == "queued"
        assert (await gateway.client.post(job["cancel_url"])).json() == {"outcome": "requested"}


async def test_a_url_does_only_what_it_is_for(gateway: ServedGateway, headers: Mapping[str, str]) -> None:
    job, other = await created(gateway, headers), await created(gateway, headers)
    read, cancel = (job[name].partition("?")[2] for name in ("events_url", "cancel_url"))
    for method, path, status in (
        ("POST", f"/v1/jobs/{job['id']}/cancel?{read}", 401),
        ("GET", f"/v1/jobs/{job['id']}/events?{cancel}", 401),
        ("GET", f"/v1/jobs/{job['id']}?{read}", 401),
        ("DELETE", f"/v1/jobs/{job['id']}?{cancel}", 401),
        ("GET", f"/v1/jobs?{read}", 401),
        ("POST", f"/v1/jobs?{cancel}", 401),
        ("POST", f"/v1/jobs/{job['id']}/regenerate?{cancel}", 401),
        ("GET", f"/v1/jobs/{other['id']}/events?{read}", 401),
        ("GET", f"/v1/jobs/{'A' * 22}/events?{read}", 401),
        ("GET", f"/v1/events?job={job['id']}&job={other['id']}&{read}", 401),
        ("GET", f"/v1/conversations/c/stream?{read}", 401),
        ("GET", f"/v1/chat/c/stream?{read}", 401),
        ("POST", f"/v1/chat/c/stop?{cancel}", 401),
    ):
        response = await gateway.client.request(method, path, json=NEW_JOB if method == "POST" else None)
        assert (path, response.status_code) == (path, status)
        assert response.json()["error"]["code"] == "unauthorized"
    assert (await gateway.client.post(job["cancel_url"])).json() == {"outcome": "cancelled"}
    assert len(await gateway.events(f"/v1/events?job={job['id']}&{read}")) == 2
    # A key in a header is more than a token in a URL.
    assert (await gateway.client.get(f"/v1/jobs?{read}", headers=headers)).status_code == 200


async def test_a_conversation_has_urls_for_all_of_its_jobs(gateway: ServedGateway, headers: Mapping[str, str]) -> None:
    first = await created(gateway, headers, conversation="ü 1")
    assert first["stream_url"].startswith("/v1/conversations/%C3%BC%201/stream?token=")
    assert (await gateway.client.post(first["stop_url"])).json() == {"outcome": "cancelled"}
    second = await created(gateway, headers, conversation="ü 1")
    stranger = await created(gateway, headers, conversation="2")
    read = first["stream_url"].partition("?")[2]
    async with gateway.stream(first["stream_url"]) as events:
        assert f'"{second["id"]}"' in (await anext(events)).data
    async with gateway.stream(f"/v1/jobs/{second['id']}/events?{read}") as events:
        assert (await anext(events)).event == "queued"
    async with gateway.stream(f"/v1/chat/%C3%BC%201/stream?{read}") as events:
        pass
    for path in (f"/v1/jobs/{stranger['id']}/events", "/v1/conversations/2/stream", f"/v1/jobs/{first['id']}"):
        assert (await gateway.client.get(f"{path}?{read}")).status_code == 401


async def test_the_longest_id_of_a_conversation_fits_into_a_url(
    gateway: ServedGateway, headers: Mapping[str, str]
) -> None:
    job = await created(gateway, headers, conversation="\N{WATER BUFFALO}" * 256)
    assert (await gateway.client.post(job["stop_url"])).json() == {"outcome": "cancelled"}


async def test_a_conversation_whose_id_no_path_can_have_has_no_urls(
    gateway: ServedGateway, headers: Mapping[str, str]
) -> None:
    for conversation in ("a/b", "..", "."):
        job = await created(gateway, headers, conversation=conversation)
        assert "events_url" in job
        assert "stream_url" not in job
        assert "stop_url" not in job


async def test_the_urls_end_with_the_key_that_asked_for_them(
    gateway: ServedGateway, headers: Mapping[str, str], tailrace: Tailrace
) -> None:
    gateway.remember(AuthenticationLimits(fresh_seconds=0))
    job = await created(gateway, headers)
    (key,) = await tailrace.access.api_keys.read_all()
    await tailrace.access.api_keys.revoke(key.id)
    assert (await gateway.client.get(job["events_url"])).status_code == 401


async def test_the_urls_of_one_gateway_are_good_at_the_others_until_the_shared_key_is_deleted(
    gateway: ServedGateway,
    headers: Mapping[str, str],
    settings: Settings,
    broker: Broker,
    keys: Keys,
) -> None:
    job = await created(gateway, headers)
    await gateway.client.post(job["cancel_url"])
    async with served(create_app(settings=gateway_settings(settings))) as second:
        assert (await second.client.get(job["events_url"])).status_code == 200
        await broker.call("DEL", keys.signing_key)

        async def is_refused() -> bool:
            return (await second.client.get(job["events_url"])).status_code == 401

        await eventually(is_refused)


async def test_urls_are_below_the_path_at_which_the_gateway_is_mounted(
    tailrace: Tailrace, settings: Settings, headers: Mapping[str, str]
) -> None:
    app = create_app(tailrace, gateway_settings(settings, gateway_signing_keys="a:" + "s" * 40, gateway_url_seconds=7))
    app.root_path = "/llm"
    async with served(app) as gateway:
        job = await created(gateway, headers)
        assert job["events_url"].startswith(f"/llm/v1/jobs/{job['id']}/events?token=")
        assert job["expires_at"] <= time.time() + 7
