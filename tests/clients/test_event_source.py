"""The npm package `eventsource`, which does what browsers do."""

import asyncio

import pytest

from tests.clients.conftest import run_node
from tests.support.eventually import eventually
from tests.support.gateways import ServedGateway

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("npm_packages"), pytest.mark.timeout(120)]

TYPES = ["queued", "started", "delta", "completed"]


async def test_an_event_source_reads_to_the_ending_and_stops(live: ServedGateway) -> None:
    created = await live.enqueue(model="demo?pieces=5&interval_ms=1")
    read = await run_node("event_source.mjs", {"url": live.url + created["events_url"], "types": TYPES})
    assert [kind for kind, _ in read["events"]][:2] == ["queued", "started"]
    assert read["events"][-1][0] == "completed"
    assert len({event_id for _, event_id in read["events"]}) == len(read["events"])
    # It came back after the ending, and was told that there is no more.
    assert read["code"] == 204


async def test_an_event_source_that_is_cut_off_loses_and_doubles_nothing(live: ServedGateway) -> None:
    created = await live.enqueue(model="demo?pieces=60&interval_ms=50")
    reading = asyncio.create_task(
        run_node("event_source.mjs", {"url": live.url + created["events_url"], "types": TYPES})
    )
    streams = live.app.state.gateway.draining.streams
    for _ in range(2):
        await eventually(lambda: bool(streams))
        for stream in list(streams):
            stream.end()
        await eventually(lambda: not streams)
    read = await reading
    sequence = [int(event_id.partition("-")[2]) for _, event_id in read["events"]]
    assert sequence == list(range(1, len(sequence) + 1))
    assert read["events"][-1][0] == "completed"
    assert read["opened"] >= 3
