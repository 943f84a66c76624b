"""`Stream`: sends one streamed answer to one client."""

import asyncio
import socket
import struct
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Final

from aiohttp import web

from tailrace_worker.simulator.clock import Clock
from tailrace_worker.simulator.journal import Journal, JournalEntry
from tailrace_worker.simulator.scenario import Scenario
from tailrace_worker.simulator.wire import SimulatedAnswer

_BURST: Final = 64
"""How many pieces a stream without intervals sends before other tasks have their turn."""
_SETTLE_SECONDS: Final = 0.05
"""The wait before a reset. A reset overtakes bytes that are on their way to the client, so these get time to arrive."""
_RESET: Final = struct.pack("ii", 1, 0)
"""The value of `SO_LINGER` that drops unsent bytes at once, which makes the kernel send RST instead of FIN."""


class Stream:
    """The sending of one answer's events directly to the transport, each as one chunk of the body.

    aiohttp sends the headers before that, and the chunk that ends the body afterwards. If a client does not read, its
    stream stops: at most the transport's high-water mark (64 KiB) and one burst wait for it.
    """

    def __init__(
        self,
        request: web.Request,
        *,
        answer: SimulatedAnswer,
        scenario: Scenario,
        clock: Clock,
        journal: Journal,
        entry: JournalEntry,
    ) -> None:
        if request.transport is None:
            raise ConnectionResetError("The client left before its answer began.")
        self._transport = request.transport
        self._protocol = request.protocol
        self._writer = request.writer
        self._answer = answer
        self._scenario = scenario
        self._clock = clock
        self._journal = journal
        self._entry = entry
        self._events = self._until_fault()
        self._closing = b""

    async def send(self) -> None:
        """Send the whole answer, or its part up to the fault, and record the outcome.

        If the client disconnects, this is cancelled, and the caller records the outcome.
        """
        await asyncio.sleep(self._scenario.first_token_ms / 1000)
        await self._write(next(self._events, b""))
        if self._scenario.split:
            await self._trickle()
        elif self._scenario.interval_ms:
            await self._pace()
        else:
            await self._rush()
        await self._end()

    def _until_fault(self) -> Iterator[bytes]:
        """Yield the opening events, then each piece with the events before it; keep the events after the last piece."""
        entry = self._entry
        kind, position = self._scenario.fault or (None, sys.maxsize)
        malformed, last = (position, sys.maxsize) if kind == "malformed" else (-1, position)
        opened = False
        before = b""
        sent = 0
        for told in self._answer.events():
            if isinstance(told, bytes):
                before += told
                continue
            if not opened:
                opened = True
                yield before
                before = b""
            for event in islice(told, last - sent):
                piece = _halved(event) if sent == malformed else event
                entry.pieces_sent = sent = sent + 1
                if before:
                    piece = before + piece
                    before = b""
                yield piece
            if sent == last:
                return
        self._closing = before

    async def _pace(self) -> None:
        """Send one piece per interval. The clock calls this, so that a piece costs no task switch."""
        clock, transport, protocol, events = self._clock, self._transport, self._protocol, self._events
        interval_ms = self._scenario.interval_ms
        sent = asyncio.get_running_loop().create_future()
        due_ms = clock.now_ms()

        def step() -> None:
            nonlocal due_ms
            # `sent` is cancelled once aiohttp knows that the client is gone. The transport may be closing before that.
            if sent.done() or transport.is_closing():
                return
            if protocol.writing_paused:
                due_ms = clock.now_ms()
            elif event := next(events, None):
                transport.write(_chunk(event))
            else:
                sent.set_result(None)
                return
            due_ms += interval_ms
            clock.at(due_ms, step)

        step()
        await sent

    async def _rush(self) -> None:
        """Send as fast as the client reads."""
        while burst := b"".join(map(_chunk, islice(self._events, _BURST))):
            self._transport.write(burst)
            await self._writer.drain()
            await asyncio.sleep(0)

    async def _trickle(self) -> None:
        """Send one piece per interval, cut into parts."""
        for events in self._events:
            await self._write(events)
            await self._writer.drain()
            await asyncio.sleep(self._scenario.interval_ms / 1000)

    async def _write(self, events: bytes) -> None:
        """Write events, cut into parts if the scenario asks for it. Do not wait after the last part."""
        for start in range(0, len(events), size := self._scenario.split or len(events) or 1):
            if start:
                # Each part is sent by itself only if it is written in its own turn of the event loop.
                await asyncio.sleep(0)
                await self._writer.drain()
            self._transport.write(_chunk(events[start : start + size]))

    async def _end(self) -> None:
        kind, position = self._scenario.fault or (None, 0)
        # If the answer is only the rest of one, it may end before its fault.
        match kind if self._entry.pieces_sent == position else None:
            case "cut":
                await asyncio.sleep(_SETTLE_SECONDS)
                self._journal.close(self._entry, "cut")
                reset(self._transport)
            case "stall":
                self._journal.stall(self._entry)
                await asyncio.get_running_loop().create_future()
            case "close":
                self._journal.close(self._entry, "closed")
            case "error":
                await self._write(self._answer.failure())
                self._journal.close(self._entry, "failed")
            case _:
                await self._write(self._closing)
                self._journal.close(self._entry, "complete")


def reset(transport: asyncio.Transport) -> None:
    """Reset a connection: the client gets RST instead of FIN."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def _chunk(events: bytes) -> bytes:
    """Return events framed as one chunk of `transfer-encoding: chunked`."""
    return b"%x\r\n%b\r\n" % (len(events), events)


def _halved(event: bytes) -> bytes:
    before, mark, data = event.partition(b"data: ")
    return before + mark + data[: len(data) // 2] + b"\n\n"
