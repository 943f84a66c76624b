"""API keys in Redis and in a file: the same contract."""

import json
import logging
import os
import stat
from pathlib import Path

import pytest

from tailrace import ApiKey, InvalidRequest, InvalidSettings, KeyLimits, Tailrace
from tailrace.access.api_key import key_id_of
from tailrace.access.key_file import KeyFile
from tailrace.access.key_store import KeyStore, key_store
from tailrace.broker.client import Broker
from tailrace.protocol.keys import Keys


@pytest.fixture(params=["redis", "file"])
def store(request: pytest.FixtureRequest, tailrace: Tailrace, tmp_path: Path) -> KeyStore:
    return key_store(tailrace.access, tmp_path / "keys.json" if request.param == "file" else None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def read(path: Path) -> str:
    return path.read_text()


def write(path: Path, text: str) -> None:
    path.write_text(text)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_key_is_found_by_the_id_in_its_token_until_it_is_revoked(store: KeyStore) -> None:
    limits = KeyLimits(running=2, queued=3, requests_per_second=4)
    key, token = await store.create(tenant="acme", name="The shop", limits=limits)
    assert key_id_of(token) == key.id
    found = await store.find(key.id)
    assert found == key
    assert found is not None
    assert found.is_of(token)
    assert not found.is_of(token[:-1] + ("A" if token[-1] != "A" else "B"))
    assert (found.tenant, found.name, found.limits) == ("acme", "The shop", limits)
    assert await store.revoke(key.id)
    assert not await store.revoke(key.id)
    assert await store.read_all() == []


async def test_keys_are_listed_and_none_is_lost_to_another(store: KeyStore) -> None:
    made = [(await store.create(tenant=tenant)).key for tenant in ("a", "b", "a")]
    assert sorted(await store.read_all(), key=lambda key: key.id) == sorted(made, key=lambda key: key.id)
    await store.revoke(made[1].id)
    assert {key.id for key in await store.read_all()} == {made[0].id, made[2].id}


@pytest.mark.parametrize("tenant", ["", "a b", "a:b", "x" * 65, "\n"])
async def test_a_tenant_has_to_be_a_name(store: KeyStore, tenant: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^tenant: "):
        await store.create(tenant=tenant)


async def test_redis_never_has_the_token(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    assert await tailrace.access.api_keys.is_empty()
    key, token = await tailrace.access.api_keys.create(tenant="acme")
    assert not await tailrace.access.api_keys.is_empty()
    stored = await broker.call("HGET", keys.api_keys, key.id)
    assert token.removeprefix(f"trk_{key.id}_") not in stored.decode()
    assert key.sha256 not in repr(key)


async def test_what_another_program_wrote_is_no_key(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    await broker.call("HSET", keys.api_keys, "0123456789ab", "{}")
    assert await tailrace.access.api_keys.find("0123456789ab") is None
    assert await tailrace.access.api_keys.read_all() == []


@pytest.mark.parametrize(
    "text", ["", "trk_", "trk_0123456789ab_short", f"trk_0123456789AB_{'a' * 43}", f"trk_0123456789ab_{'a' * 43}\n"]
)
def test_a_text_that_is_no_token_has_no_id(text: str) -> None:
    assert key_id_of(text) is None


async def test_only_the_owner_reads_the_file_which_has_no_token(path: Path) -> None:
    _, token = await KeyFile(path).create(tenant="acme")
    assert mode_of(path) == 0o600
    assert token.rpartition("_")[2] not in read(path)


async def test_a_file_that_changes_is_read_again(path: Path) -> None:
    gateway = KeyFile(path, look_seconds=0)
    assert await gateway.is_empty()
    key = (await KeyFile(path).create(tenant="acme")).key
    assert await gateway.find(key.id) == key
    assert not await gateway.is_empty()
    await KeyFile(path).revoke(key.id)
    assert await gateway.find(key.id) is None


async def test_while_the_file_is_broken_no_key_is_accepted(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gateway = KeyFile(path, look_seconds=0)
    key = (await gateway.create(tenant="acme")).key
    assert await gateway.find(key.id) == key
    good = read(path)
    write(path, good[:-5])
    with caplog.at_level(logging.ERROR):
        assert await gateway.find(key.id) is None
        assert await gateway.find(key.id) is None
    assert len(caplog.records) == 1
    assert key.sha256 not in caplog.text
    write(path, good)
    os.utime(path, (1, 1))
    assert await gateway.find(key.id) == key


@pytest.mark.parametrize("text", ["", "[]", '{"keys": [{}]}', json.dumps({"keys": [], "more": 1})])
async def test_a_file_of_something_else_is_told_by_its_variable(path: Path, text: str) -> None:
    write(path, text)
    with pytest.raises(InvalidSettings, match=r"^TAILRACE_GATEWAY_KEYS_FILE: .*keys\.json"):
        await KeyFile(path).read_all()


async def test_a_missing_file_says_what_makes_it(path: Path) -> None:
    with pytest.raises(InvalidSettings, match="`tailrace keys create` makes it"):
        await KeyFile(path).read_all()


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be written: No such file or directory"):
        await KeyFile(tmp_path / "none" / "keys.json").create(tenant="acme")


def test_limits_are_shown_as_they_are_given() -> None:
    assert str(KeyLimits(running=1, requests_per_second=2)) == "running=1 per-second=2"
    assert ApiKey.parse("no JSON") is None
