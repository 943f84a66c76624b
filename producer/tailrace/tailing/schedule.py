"""`Schedule`: whose turn it is to be read."""

import asyncio
from collections import OrderedDict
from typing import Final

from tailrace.tailing.groups import Group

_ENTRIES_AT_ONCE: Final = 2_048
"""How many entries one read may ask for: what is decoded at once holds up everything else, and so does the garbage
collector, which walks the whole heap when too much of it is new."""
_BYTES_AT_ONCE: Final = 8_388_608
"""How many bytes one read is to bring."""
_SWEPT_AT_ONCE: Final = 1_024
_SWEEP_SECONDS = 1.0
_SWEEP_PACE_SECONDS = 0.05


class Schedule:
    """Groups that were called come first; after a second those come round again that nobody called."""

    def __init__(self) -> None:
        self._called: dict[Group, None] = {}
        self._resting: OrderedDict[Group, None] = OrderedDict()
        """The one that has rested longest comes first. A group that has its turn is not among them."""
        self._stirred = asyncio.Event()
        self._turned_at = self._swept_at = 0.0

    def call(self, group: Group) -> None:
        """There is something to read, or was, or may be. One that has its turn gets another one."""
        self._resting.pop(group, None)
        self._called[group] = None
        self._stirred.set()

    def rest(self, group: Group) -> None:
        """It had its turn, and read all there was."""
        if group not in self._called:
            group.looked_at = self._turned_at
            self._resting[group] = None

    def remove(self, group: Group) -> bool:
        """It gets no more turns. Returns whether it had been called."""
        self._resting.pop(group, None)
        return self._called.pop(group, group) is None

    def has_called(self, group: Group) -> bool:
        """Whether it was called, and has not had its turn since."""
        return group in self._called

    async def turn(self) -> tuple[list[Group], list[Group]]:
        """Waits until somebody has a turn; returns those who were called, and those who come round."""
        loop = asyncio.get_running_loop()
        while True:
            self._stirred.clear()
            self._turned_at = loop.time()
            called, resting = self._take_called(), self._take_resting(self._turned_at)
            if called or resting:
                return called, resting
            timer = loop.call_at(self._sweeps_at, self._stirred.set) if self._resting else None
            try:
                await self._stirred.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    def _take_called(self) -> list[Group]:
        taken: list[Group] = []
        room, room_bytes = _ENTRIES_AT_ONCE, _BYTES_AT_ONCE
        for group in self._called:
            if room <= 0 or room_bytes <= 0:
                break
            room -= group.count
            room_bytes -= group.bytes_at_once
            taken.append(group)
        for group in taken:
            del self._called[group]
        return taken

    @property
    def _sweeps_at(self) -> float:
        # In slices: should all have come at once, each would else have a read of its own.
        return max(next(iter(self._resting)).looked_at + _SWEEP_SECONDS, self._swept_at + _SWEEP_PACE_SECONDS)

    def _take_resting(self, now: float) -> list[Group]:
        taken: list[Group] = []
        if self._resting and now >= self._sweeps_at:
            self._swept_at = now
            while self._resting and len(taken) < _SWEPT_AT_ONCE:
                group = next(iter(self._resting))
                if group.looked_at + _SWEEP_SECONDS > now:
                    break
                del self._resting[group]
                taken.append(group)
        return taken
