"""Answers that are not streamed: first a delay, and then the whole answer."""

import asyncio
import json

from aiohttp import web

from tailrace_worker.simulator.journal import Journal, JournalEntry
from tailrace_worker.simulator.scenario import Scenario
from tailrace_worker.simulator.stream import reset
from tailrace_worker.simulator.wire import Refused, SimulatedAnswer


async def whole_response(
    request: web.Request,
    *,
    answer: SimulatedAnswer,
    scenario: Scenario,
    pieces: int,
    journal: Journal,
    entry: JournalEntry,
) -> web.Response:
    """Return the response at the time at which its last piece, or its fault, would be due in a stream.

    Args:
        request: The request.
        answer: The answer.
        scenario: The scenario of the request.
        pieces: How many pieces the answer has.
        journal: Records the outcome.
        entry: The entry of the request.

    Raises:
        Refused: The scenario has an error.
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
