"""`Conversation`: the handle of a conversation, with methods that block."""

from typing import Any

from tailrace import conversation as asynchronous
from tailrace.protocol.cancellation import CancelOutcome
from tailrace.status import JobStatus
from tailrace.sync.job import Job
from tailrace.sync.session import Session, Sessions
from tailrace.sync.signature import signature_of


class Conversation:
    """The handle of a conversation: the jobs that were enqueued with its id.

    Making a handle costs no round trip. Services get handles from `Tailrace.conversation`.

    Args:
        conversation: The id of the conversation.
        tenant: The tenant under which its jobs are enqueued.
        sessions: The sessions of the client, one for each process.
    """

    def __init__(self, conversation: str, tenant: str, sessions: Sessions) -> None:
        self.id: str = conversation
        """The id of the conversation."""
        self.tenant: str = tenant
        """The tenant under which its jobs are enqueued."""
        self._sessions = sessions

    def __repr__(self) -> str:
        return f"Conversation({self.id!r}, tenant={self.tenant!r})"

    @signature_of(asynchronous.Conversation.active)
    def active(self) -> Job | None:
        """Find the active job of the conversation."""
        session, conversation = self._current()
        job = session.run(conversation.active)
        return None if job is None else Job(job.id, self._sessions)

    @signature_of(asynchronous.Conversation.recent)
    def recent(self, *args: Any, **kwargs: Any) -> list[JobStatus]:
        """List the newest jobs of the conversation, the newest first."""
        session, conversation = self._current()
        return session.run(lambda: conversation.recent(*args, **kwargs))

    @signature_of(asynchronous.Conversation.stop)
    def stop(self, *args: Any, **kwargs: Any) -> CancelOutcome | None:
        """Cancel the active job. Its text stays readable."""
        session, conversation = self._current()
        return session.run(lambda: conversation.stop(*args, **kwargs))

    def _current(self) -> tuple[Session, asynchronous.Conversation]:
        session = self._sessions.current()
        return session, session.client.conversation(self.id, tenant=self.tenant)
