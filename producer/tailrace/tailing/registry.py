"""`Registry`: which tail is in which group of which stream."""

from collections.abc import Sequence

from tailrace.protocol.keys import Keys
from tailrace.tailing.groups import Group, TailedStream
from tailrace.tailing.inbox import Inbox
from tailrace.tailing.schedule import Schedule


class Registry:
    """The tailed streams, their groups, and the inboxes of each group.

    Membership changes only here, so that a group is on the schedule only while it has inboxes, and a stream is here
    only while it has tails.
    """

    def __init__(self, keys: Keys, schedule: Schedule) -> None:
        """Start with no tails.

        Args:
            keys: The keys of the jobs.
            schedule: What new groups are added to, and empty groups are removed from.
        """
        self._keys = keys
        self._schedule = schedule
        self._streams: dict[bytes, TailedStream] = {}
        """By notification channel."""
        self._groups: dict[Inbox, Group] = {}
        """The group of each inbox. An inbox that is full or closed is in no group, and keeps its last one here."""

    @property
    def is_empty(self) -> bool:
        """True if there are no tails."""
        return not self._groups

    @property
    def streams(self) -> list[TailedStream]:
        """All streams that are tailed."""
        return list(self._streams.values())

    @property
    def inboxes(self) -> list[Inbox]:
        """The inboxes of all tails, including those that are full or closed."""
        return list(self._groups)

    def groups_of(self, channel: bytes) -> Sequence[Group]:
        """Return the groups of the stream with a notification channel; none if nobody tails it."""
        stream = self._streams.get(channel)
        return stream.groups if stream is not None else ()

    def add(self, job_id: str, inbox: Inbox) -> None:
        """Add a new tail.

        Args:
            job_id: The job whose stream it reads.
            inbox: Its inbox, which was just opened at the cursor to read on from.
        """
        stream = TailedStream.of(self._keys, job_id, now=inbox.opened_at)
        stream = self._streams.setdefault(stream.channel, stream)
        stream.inboxes[inbox] = None
        self._admit(inbox, Group(stream, inbox, is_new=True))

    def resume(self, inbox: Inbox) -> None:
        """Put an inbox into a group again that was detached while it was full."""
        last = self._groups[inbox]
        # It may have been emptied before it was detached: while others were still given what had filled it.
        if inbox not in last.inboxes:
            self._admit(inbox, Group(last.stream, inbox, is_new=False, like=last))

    def detach(self, inbox: Inbox) -> None:
        """Take an inbox out of its group, for now or for good: nothing more is read for it."""
        group = self._groups[inbox]
        if inbox in group.inboxes:
            del group.inboxes[inbox]
            if not group.inboxes:
                self._drop(group)

    def remove(self, inbox: Inbox) -> TailedStream | None:
        """Remove a tail, unless that was done before.

        Returns:
            Its stream if nobody else tails it.
        """
        if inbox not in self._groups:
            return None
        self.detach(inbox)
        stream = self._groups.pop(inbox).stream
        del stream.inboxes[inbox]
        if stream.inboxes:
            return None
        del self._streams[stream.channel]
        return stream

    def merge(self, group: Group) -> Group:
        """Merge a group into another one at the same cursor, if any.

        Returns:
            The group in which the inboxes are now.
        """
        other = group.stream.find_match(group)
        if other is None:
            return group
        if self._drop(group):
            self._schedule.mark_due(other)
        self._groups |= dict.fromkeys(group.inboxes, other)
        other.inboxes |= group.inboxes
        group.inboxes = {}
        return other

    def _admit(self, inbox: Inbox, group: Group) -> None:
        """Add an inbox to a group at the same cursor, or else the new group to the schedule."""
        other = group.stream.find_match(group)
        # A new inbox needs the reply to a question that is asked from now on: the last entry may have come meanwhile.
        if other is not None and (not group.is_new or self._schedule.is_due(other)):
            other.inboxes[inbox] = None
            self._groups[inbox] = other
        else:
            group.stream.groups.append(group)
            self._groups[inbox] = group
            self._schedule.mark_due(group)

    def _drop(self, group: Group) -> bool:
        group.stream.groups.remove(group)
        return self._schedule.remove(group)
