"""Whose keys the scripts touch, as the server sees it: those of one job, or those of the queue's side, never both."""

import re
from contextlib import aclosing
from typing import Any, Final

import pytest

from tailrace import ConversationBusy, GenerationRequest, KeyLimits, Settings, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.broker.wire import Wire, packed
from tailrace.events import Failed
from tailrace.protocol import attempts
from tailrace.protocol.attempts import Began, restore_command
from tailrace.protocol.job_end import end_orphan
from tailrace.protocol.keys import Keys
from tailrace.protocol.scripts import Script
from tailrace_worker.processes.valkey import EmbeddedBroker
from tailrace_worker.queueing.claim import Claim
from tailrace_worker.queueing.claims import (
    assert_command,
    claim_command,
    new_token,
    next_attempt_command,
    read_claimed,
    release_command,
    renew_command,
)
from tailrace_worker.queueing.unclaim import unclaim_command

FOR_EVER: Final = 10**15
"""Later than any time of a server, in ms."""
ALL_SAID: Final = "all was said"
FAILED: Final = Failed(at=1, code="worker_lost", message="", retryable=True)

Touched = tuple[Script, tuple[str, ...]]


async def test_no_script_touches_keys_of_a_job_and_of_the_queues(
    own_broker: EmbeddedBroker, request_: GenerationRequest
) -> None:
    settings = Settings.read(redis_url=own_broker.url)
    async with Tailrace.connect(settings.redis_url) as tailrace, Wire(open_redis(own_broker.url)) as monitor:
        await monitor.connect()
        await monitor.exchange(packed("MONITOR"), 1)
        broker = Broker(open_redis(own_broker.url))
        await use_every_script(tailrace, broker, Keys(settings.prefix), request_)
        touched = await keys_of_scripts(await heard_of(monitor, broker), broker)
        await broker.aclose()
    assert {script for script, _ in touched} == set(Script)
    for script, keys in touched:
        job_ids = {"".join(re.findall(r"\{(.*)\}", key)) for key in keys}
        assert len(job_ids) == 1, f"{script.name} touches {keys}"
        assert (script.side == "job") == (job_ids != {""}), f"{script.name} touches {keys}"


async def use_every_script(tailrace: Tailrace, broker: Broker, keys: Keys, request: GenerationRequest) -> None:
    job = await tailrace.enqueue(request, idempotency_key="order-7")
    again = await job.regenerate()
    turn = await tailrace.enqueue(request, conversation="chat-42", labels={"user": "ada"})
    for key in (None, "order-8"):
        with pytest.raises(ConversationBusy):
            await tailrace.enqueue(request, conversation="chat-42", idempotency_key=key)
    began = await begin(broker, keys, job.id, 1)
    assert isinstance(began, Began)
    await broker.call("UNLINK", keys.events(job.id), keys.record(job.id))
    await broker.call(*restore_command(keys, job.id, began.record, life_seconds=60))
    await begin(broker, keys, job.id, 2, reason="worker_lost")
    await end_orphan(broker, keys, job.id, FAILED, keep_seconds=60)
    for _ in range(5):
        (first, second, third) = await claim(broker, keys)
        await broker.call(*renew_command(keys, [first, second], lease_seconds=60))
        await broker.call(*assert_command(keys, first, lease_seconds=60, life_seconds=60))
        await broker.call(*next_attempt_command(first))
        await broker.call(*release_command(keys, first, "retry", life_seconds=60))
        await broker.call(*assert_command(keys, third, lease_seconds=60, life_seconds=60))
        await broker.call(*unclaim_command(keys, second))
        await broker.call(*unclaim_command(keys, third))
    for each in await claim(broker, keys):
        await broker.call("ZADD", keys.running("default"), 1, each.job_id)
    for each in await claim(broker, keys):
        assert each.reason == "worker_lost"
        await broker.call(*release_command(keys, each, "hand_back", life_seconds=60))
    for each in await claim(broker, keys):
        await broker.call(*release_command(keys, each, "finish", life_seconds=60))
    reservation = await tailrace.access.places.reserve("default", KeyLimits(queued=100), idempotency_key="order-9")
    await tailrace.access.places.settle("default", reservation, job.id)
    await again.cancel()
    await turn.cancel()
    await tailrace.jobs()
    await tailrace.fleet()
    async with aclosing(tailrace.endings("archive")) as endings:
        await anext(endings)


async def begin(broker: Broker, keys: Keys, job_id: str, attempt: int, reason: str = "") -> Any:
    return await attempts.begin(
        broker,
        keys,
        job_id,
        attempt=attempt,
        worker="host:0",
        reason=reason,
        max_lost=3,
        life_seconds=60,
        keep_seconds=60,
    )


async def claim(broker: Broker, keys: Keys) -> list[Claim]:
    token = new_token("host:0")
    command = claim_command(
        keys, ["default"], token, places=10, lease_seconds=60, takes_over_until=FOR_EVER, dead=["host:9"]
    )
    return read_claimed(await broker.call(*command), ["default"], token).claims


async def heard_of(monitor: Wire, broker: Broker) -> list[tuple[bool, list[str]]]:
    """The commands that the server has run, and whether each was a script's."""
    await broker.call("ECHO", ALL_SAID)
    commands: list[tuple[bool, list[str]]] = []
    while not any(ALL_SAID in command for _, command in commands):
        for line in await monitor.hear():
            words = re.findall(r'"((?:[^"\\]|\\.)*)"', line.decode())
            commands.append((b" lua]" in line, [word.replace("\\n", "\n").replace('\\"', '"') for word in words]))
    return commands


async def keys_of_scripts(commands: list[tuple[bool, list[str]]], broker: Broker) -> list[Touched]:
    """The keys of each run of a script: those it was given, and those of the commands that it called."""
    by_source = {script.source: script for script in Script}
    touched: list[Touched] = []
    async with Wire(broker.redis) as wire:
        await wire.connect()
        for is_of_script, command in commands:
            if command[0] == "EVAL":
                touched.append((by_source[command[1]], ()))
            elif not is_of_script:
                continue
            (keys,) = await wire.exchange(packed("COMMAND", "GETKEYS", *command), 1)
            # INFO and TIME have none, and the server says so by an error.
            if not isinstance(keys, Exception):
                script, known = touched[-1]
                touched[-1] = (script, (*known, *(key.decode() for key in keys)))
    return touched
