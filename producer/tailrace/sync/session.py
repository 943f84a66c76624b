"""`Sessions`: the asynchronous client that a blocking client uses, and its thread, one pair for each process."""

import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import CancelledError
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakSet, finalize

from redis.asyncio import Redis

from tailrace import client as asynchronous
from tailrace.errors import BrokerUnavailable
from tailrace.sync.event_loop_thread import EventLoopThread

_T = TypeVar("_T")
_Item_co = TypeVar("_Item_co", covariant=True)


class Source(Protocol[_Item_co]):
    """An asynchronous iterator that can be closed."""

    def __anext__(self) -> Coroutine[Any, Any, _Item_co]:
        """Wait for the next item."""
        ...

    def aclose(self) -> Coroutine[Any, Any, None]:
        """Leave the iterator."""
        ...


class Session:
    """An asynchronous client and its thread, in the process that made them."""

    def __init__(self, client: asynchronous.Tailrace, redis: Redis | None) -> None:
        """Start the thread.

        Args:
            client: The client to run.
            redis: The connections that the client does not close by itself.
        """
        self.client: asynchronous.Tailrace = client
        self.sources: WeakSet[Source[Any]] = WeakSet()
        """The asynchronous iterators that were begun. Only the loop's thread adds to this set."""
        self._process_id = os.getpid()
        sources = self.sources
        self._thread = EventLoopThread(lambda: _close(sources, client, redis))
        self._dropped = finalize(self, self._thread.stop)
        self._dropped.atexit = False

    @property
    def is_inherited(self) -> bool:
        """True in a process that was forked from the one with the thread."""
        return self._process_id != os.getpid()

    def run(self, do: Callable[[], Coroutine[Any, Any, _T]], *, cursor: str | None = None) -> _T:
        """Run a coroutine of the client, and wait for its end.

        Args:
            do: Makes the coroutine.
            cursor: The `cursor` of the error if the client is closed meanwhile.

        Returns:
            The result of the coroutine.

        Raises:
            BrokerUnavailable: The client was closed.
            RuntimeError: The process was forked after the session began, or the call is made in the loop's thread.
            BaseException: The error of the coroutine.
        """
        if self.is_inherited:
            raise RuntimeError(
                "This iterator was opened before the process was forked, and has no connection here. Open a new one."
            )
        try:
            return self._thread.call(do)
        except CancelledError:
            raise BrokerUnavailable("The client was closed.", cursor=cursor) from None

    def close(self) -> None:
        """End all calls and iterators, close the connections, and end the thread."""
        if not self.is_inherited:
            self._thread.stop()
            self._thread.join()

    def abandon(self) -> None:
        """Leave the thread and the connections to the process from which this one was forked."""
        self._dropped.detach()


class Sessions:
    """Starts a session at the first call in each process: a thread does not live on in a process that is forked."""

    def __init__(self, connect: Callable[[], asynchronous.Tailrace], redis: Redis | None = None) -> None:
        """Start nothing yet.

        Args:
            connect: Makes an asynchronous client.
            redis: The caller's connections, which that client uses: they serve one session.
        """
        self._connect = connect
        self._redis = redis
        self._is_used = False
        self._lock = threading.RLock()
        self._session: Session | None = None
        _ALL.add(self)

    def current(self) -> Session:
        """Return the session of this process, and start it if there is none.

        Raises:
            RuntimeError: The session before it has used the caller's connections.
        """
        session = self._session
        if session is not None:
            return session
        with self._lock:
            if self._session is None:
                if self._redis is not None and self._is_used:
                    raise RuntimeError(
                        "The Redis client that was given to this one served another event loop, before `close` or a "
                        "fork. Make both anew."
                    )
                self._is_used = True
                self._session = Session(self._connect(), self._redis)
            return self._session

    def close(self) -> None:
        """Close the session. The next call starts another one."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def forget(self) -> None:
        """Forget the session of the process from which this one was forked."""
        self._lock = threading.RLock()
        session, self._session = self._session, None
        if session is not None:
            session.abandon()


_ALL: Final = WeakSet[Sessions]()


async def _close(sources: Iterable[Source[Any]], client: asynchronous.Tailrace, redis: Redis | None) -> None:
    # While there are connections: `parallel` cancels its jobs.
    for source in list(sources):
        await source.aclose()
    await client.aclose()
    if redis is not None:
        await redis.aclose(close_connection_pool=True)


def _forget_all() -> None:
    for sessions in list(_ALL):
        sessions.forget()


@atexit.register
def _close_all() -> None:
    for sessions in list(_ALL):
        sessions.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
