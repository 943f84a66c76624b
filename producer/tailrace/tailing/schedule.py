"""`Schedule`: which groups are read next."""

import asyncio
from collections import OrderedDict
from typing import Final

from tailrace.tailing.groups import Group
from tailrace.tailing.limits import ScheduleLimits

_ENTRIES_AT_ONCE: Final = 2_048
"""How many entries one read may ask for: decoding holds up everything else, and so does the garbage collector, which
walks the whole heap when too much of it is new."""
_BYTES_AT_ONCE: Final = 8_388_608
"""How many bytes one read is expected to bring at most."""
_SWEPT_AT_ONCE: Final = 1_024


class Schedule:
    """Groups with something to read are due, and come first. The others are idle, and are read once a second."""

    def __init__(self, limits: ScheduleLimits) -> None:
        """Start with no groups.

        Args:
            limits: When an idle group is read.
        """
        self._limits = limits
        self._due: dict[Group, None] = {}
        self._idle: OrderedDict[Group, None] = OrderedDict()
        """The group that has been idle for longest comes first. A group that is being read is not among them."""
        self._changed = asyncio.Event()
        self._batch_at = self._swept_at = 0.0

    @property
    def is_empty(self) -> bool:
        """True if no group is due or idle."""
        return not self._due and not self._idle

    def mark_due(self, group: Group) -> None:
        """Read a group soon: there may be something to read. A group that is being read is read once more."""
        self._idle.pop(group, None)
        self._due[group] = None
        self._changed.set()

    def mark_idle(self, group: Group) -> None:
        """Read a group with the next sweep, unless it is due: the last read has found all there was."""
        if group not in self._due:
            group.read_at = self._batch_at
            self._idle[group] = None

    def remove(self, group: Group) -> bool:
        """Read a group no more.

        Returns:
            True if the group was due.
        """
        self._idle.pop(group, None)
        return self._due.pop(group, group) is None

    def is_due(self, group: Group) -> bool:
        """Return whether a group will be read by a read that has yet to begin."""
        return group in self._due

    async def next_batch(self) -> tuple[list[Group], list[Group]]:
        """Wait until there are groups to read, and take them off the schedule.

        Returns:
            The groups that were due, and the idle groups of a sweep.
        """
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            self._batch_at = loop.time()
            due, swept = self._take_due(), self._take_idle(self._batch_at)
            if due or swept:
                return due, swept
            timer = loop.call_at(self._next_sweep_at, self._changed.set) if self._idle else None
            try:
                await self._changed.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    def _take_due(self) -> list[Group]:
        taken: list[Group] = []
        room, room_bytes = _ENTRIES_AT_ONCE, _BYTES_AT_ONCE
        for group in self._due:
            if room <= 0 or room_bytes <= 0:
                break
            room -= group.count
            room_bytes -= group.read_bytes
            taken.append(group)
        for group in taken:
            del self._due[group]
        return taken

    @property
    def _next_sweep_at(self) -> float:
        # At intervals: groups that became idle one by one would otherwise each have a read of their own.
        return max(
            next(iter(self._idle)).read_at + self._limits.sweep_seconds,
            self._swept_at + self._limits.sweep_interval_seconds,
        )

    def _take_idle(self, now: float) -> list[Group]:
        taken: list[Group] = []
        if self._idle and now >= self._next_sweep_at:
            self._swept_at = now
            while self._idle and len(taken) < _SWEPT_AT_ONCE:
                group = next(iter(self._idle))
                if group.read_at + self._limits.sweep_seconds > now:
                    break
                del self._idle[group]
                taken.append(group)
        return taken
