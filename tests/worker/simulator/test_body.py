"""The bytes of a streamed body, as one may cut them."""

import re
from typing import Any

import aiohttp
import pytest

from tailrace_worker.simulator import Simulator

PATHS = ["chat/completions", "responses", "messages"]


async def chunks_of(simulator: Simulator, path: str, options: str) -> list[bytes]:
    """The chunks of a body."""
    asked: dict[str, Any] = {
        "model": f"demo?pieces=3&{options}",
        "messages": [{}],
        "input": "Hi",
        "max_tokens": 1,
        "stream": True,
    }
    async with (
        aiohttp.ClientSession(headers={"authorization": "Bearer test"}) as session,
        session.post(f"{simulator.url}/v1/{path}", json=asked) as response,
    ):
        return [chunk async for chunk, _ in response.content.iter_chunks()]


def comparable(body: bytes) -> bytes:
    """Without what differs from one answer to the next: ids and times."""
    return re.sub(rb"[0-9a-f]{24,}|\d{10}", b"0", body)


def data_of(body: bytes) -> list[bytes]:
    return [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("options", ["interval_ms=0", "interval_ms=1", "error_after=2", "close_after=2"])
@pytest.mark.slow
async def test_a_body_can_be_cut_into_chunks_of_any_size(
    simulator: Simulator, path: str, size: int, options: str
) -> None:
    chunks = await chunks_of(simulator, path, f"split={size}&{options}")
    assert max(map(len, chunks)) == size
    whole = await chunks_of(simulator, path, options)
    assert max(map(len, whole)) > size
    assert comparable(b"".join(chunks)) == comparable(b"".join(whole))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("options", ["interval_ms=0", "error_after=2&interval_ms=1"])
async def test_lines_can_end_with_cr_lf(simulator: Simulator, path: str, options: str) -> None:
    body = b"".join(await chunks_of(simulator, path, f"{options}&crlf=1"))
    plain = b"".join(await chunks_of(simulator, path, options))
    assert b"\r" not in plain
    assert comparable(body) == comparable(plain.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("path", PATHS)
async def test_what_nobody_has_heard_of_is_between_all_that_is_said(simulator: Simulator, path: str) -> None:
    body = b"".join(await chunks_of(simulator, path, "blocks=2&unknown=1&interval_ms=0"))
    heard = [re.findall(rb"surprise|Water|leaves", data)[:1] for data in data_of(body)]
    order = [kind for (kind,) in filter(None, heard)]
    assert order[0] == b"surprise"
    assert order.index(b"Water") < order.index(b"surprise", order.index(b"Water"))
    assert order[-1] in {b"surprise", b"Water"}
    assert body.count(b": keep-alive\n\n") == 3
