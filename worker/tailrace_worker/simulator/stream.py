"""One streamed answer on its way to one client."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Final

from aiohttp import web

from tailrace_worker.simulator.clock import Clock
from tailrace_worker.simulator.journal import Entry, Journal
from tailrace_worker.simulator.scenario import Scenario
from tailrace_worker.simulator.wire import Events

_BURST: Final = 64
"""How many pieces a stream without intervals sends before another gets its turn."""
_SETTLE_SECONDS: Final = 0.05
"""A reset overtakes what is still on its way to the client: so long that gets to arrive."""
_RESET: Final = struct.pack("ii", 1, 0)
"""As `SO_LINGER`: no time for what is still unsent, which makes the kernel send RST in place of FIN."""


class Stream:
    """Sends the events of an answer, each as one chunk of the body, past aiohttp straight to the transport.

    aiohttp has sent the headers before, and sends the chunk that ends the body afterwards. A client that does not
    read holds its stream up: no more than the transport's high-water mark (64 KiB) and one burst waits for it.
    """

    def __init__(
        self,
        request: web.Request,
        *,
        events: Events,
        scenario: Scenario,
        clock: Clock,
        journal: Journal,
        entry: Entry,
    ) -> None:
        if request.transport is None:
            raise ConnectionResetError("The client left before its answer began.")
        self._transport = request.transport
        self._protocol = request.protocol
        self._writer = request.writer
        self._events = events
        self._scenario = scenario
        self._clock = clock
        self._journal = journal
        self._entry = entry
        self._chunks = self._make_chunks()

    async def send(self) -> None:
        """Sends all there is to send and writes the outcome into the journal, if the client stays."""
        await asyncio.sleep(self._scenario.first_token_ms / 1000)
        self._transport.write(_chunk(self._events.opening))
        if self._scenario.interval_ms:
            await self._pace()
        else:
            await self._rush()
        await self._end()

    def _make_chunks(self) -> Iterator[bytes]:
        piece, entry = self._events.piece, self._entry
        fault = self._scenario.fault
        malformed = fault[1] if fault and fault[0] == "malformed" else None
        for position in range(self._scenario.pieces_sent):
            event = piece(position)
            if position == malformed:
                event = _halved(event)
            entry.pieces_sent = position + 1
            yield _chunk(event)

    async def _pace(self) -> None:
        """Sends a piece an interval. The clock does it, so that a piece costs no task switch."""
        clock, transport, protocol, chunks = self._clock, self._transport, self._protocol, self._chunks
        interval_ms = self._scenario.interval_ms
        sent = asyncio.get_running_loop().create_future()
        due_ms = clock.now_ms()

        def step() -> None:
            nonlocal due_ms
            # Cancelled as soon as the client is known to be gone; until then the transport may be closing already.
            if sent.done() or transport.is_closing():
                return
            if protocol.writing_paused:
                due_ms = clock.now_ms()
            elif chunk := next(chunks, None):
                transport.write(chunk)
            else:
                sent.set_result(None)
                return
            due_ms += interval_ms
            clock.at(due_ms, step)

        step()
        await sent

    async def _rush(self) -> None:
        """Sends as fast as the client reads."""
        while burst := b"".join(islice(self._chunks, _BURST)):
            self._transport.write(burst)
            await self._writer.drain()
            await asyncio.sleep(0)

    async def _end(self) -> None:
        fault = self._scenario.fault
        match fault[0] if fault else None:
            case "cut":
                await asyncio.sleep(_SETTLE_SECONDS)
                self._journal.close(self._entry, "cut")
                self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self._transport.abort()
            case "stall":
                self._journal.stall(self._entry)
                await asyncio.get_running_loop().create_future()
            case "close":
                self._journal.close(self._entry, "closed")
            case "error":
                self._transport.write(_chunk(self._events.failure))
                self._journal.close(self._entry, "failed")
            case _:
                self._transport.write(_chunk(self._events.closing))
                self._journal.close(self._entry, "complete")


def _chunk(events: bytes) -> bytes:
    """Framed for `transfer-encoding: chunked`."""
    return b"%x\r\n%b\r\n" % (len(events), events)


def _halved(event: bytes) -> bytes:
    before, mark, data = event.partition(b"data: ")
    return before + mark + data[: len(data) // 2] + b"\n\n"
