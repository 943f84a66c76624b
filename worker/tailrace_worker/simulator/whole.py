"""One answer that is not streamed: silence, then all of it."""

import asyncio
import json

from aiohttp import web

from tailrace_worker.simulator.journal import Entry, Journal
from tailrace_worker.simulator.scenario import Scenario
from tailrace_worker.simulator.stream import reset
from tailrace_worker.simulator.wire import Answer, Refused


async def whole_response(
    request: web.Request, *, answer: Answer, scenario: Scenario, pieces: int, journal: Journal, entry: Entry
) -> web.Response:
    """The response, when its last piece would have come, or what goes wrong, when that would have.

    Raises:
        Refused: The provider fails.
    """
    kind, position = scenario.fault or (None, pieces)
    if position > pieces:
        kind, position = None, pieces
    await asyncio.sleep((scenario.first_token_ms + position * scenario.interval_ms) / 1000)
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("The client left before its answer was ready.")
    body = json.dumps(answer.whole(), ensure_ascii=False).encode()
    match kind:
        case "cut":
            journal.close(entry, "cut")
            reset(transport)
        case "close":
            journal.close(entry, "closed")
            transport.close()
        case "stall":
            journal.stall(entry)
            await asyncio.get_running_loop().create_future()
        case "error":
            raise Refused(500, code=scenario.error_code)
        case "malformed":
            journal.close(entry, "complete")
            body = body[: len(body) // 2]
        case None:
            entry.pieces_sent = pieces
            journal.close(entry, "complete")
    return web.Response(body=body, content_type="application/json")
