"""What a test may reach outside its own process: only what its markers `redis` and `process` say.

Without them, a test that starts a process, or connects to a server outside the process of the tests, fails. So
`make test-fast`, which leaves both markers out, depends on nothing outside.
"""

import socket
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

import pytest

SERVER_FIXTURES: Final = frozenset({"broker_url", "own_broker", "server", "servers"})
"""Whoever uses one of them needs a Redis server."""
PROCESS_FIXTURES: Final = frozenset({"owner", "replay", "run_demo", "run_dev", "sdk_clients", "worker"})
"""Whoever uses one of them starts a process other than the Redis server."""
PROCESS_STARTED: Final = "tests.process_started"
"""The audit event of a process that is started without `subprocess`."""

_NO_PORTS: Final = {1, 9}
"""At these, tests look for a server that is not there."""
_SLOW_SECONDS: Final = 60.0
_STARTS: Final = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", PROCESS_STARTED}


class _Guard:
    """Hears of each process and connection before there is one."""

    def __init__(self) -> None:
        self.item: pytest.Item | None = None
        self._bound: WeakSet[socket.socket] = WeakSet()

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.bind":
            self._bound.add(arguments[0])
        elif self.item is None:
            return
        elif event == "socket.connect":
            if not self._may("redis", "process") and not self._is_harmless(arguments[1]):
                self._refuse(f"connects to {arguments[1]!r}", "redis")
        elif event in _STARTS and not (event == "subprocess.Popen" and _is_of_platform(arguments[1])):
            needed = "redis" if event == "subprocess.Popen" and _is_redis(arguments[1]) else "process"
            if not self._may(needed):
                self._refuse(f"starts a process ({event} {arguments[:2]!r})", needed)

    def _may(self, *markers: str) -> bool:
        return self.item is not None and any(self.item.get_closest_marker(name) for name in markers)

    def _is_harmless(self, address: Any) -> bool:
        if _place(address) in _NO_PORTS:
            return True
        # A socket that is closed has no address.
        return any(bound.fileno() >= 0 and _place(bound.getsockname()) == _place(address) for bound in self._bound)

    def _refuse(self, action: str, marker: str) -> None:
        # No `except Exception` of the code under test catches it.
        pytest.fail(f"The test {action} without the marker `{marker}`.")


def _place(address: Any) -> Any:
    """The port, or the path in the file system."""
    return address if isinstance(address, str | bytes) else address[1]


def _is_redis(command: Any) -> bool:
    return any(Path(str(word)).name.startswith("valkey-server") for word in command)


def _is_of_platform(command: Any) -> bool:
    """True for what the standard library's `platform` runs, which OpenAI's SDK asks once in a process."""
    return list(command) == ["uname", "-p"]


_guard: Final = _Guard()


def pytest_configure() -> None:
    """Listen to what this process does."""
    sys.addaudithook(_guard.hear)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note whose markers count, from the fixtures' set-up to their end."""
    _guard.item = item
    try:
        return (yield)
    finally:
        _guard.item = None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the fixtures that it uses and by the time that it may take."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        timeout = item.get_closest_marker("timeout")
        if fixtures & SERVER_FIXTURES:
            item.add_marker("redis")
        if fixtures & PROCESS_FIXTURES:
            item.add_marker("process")
        if timeout and timeout.args[0] > _SLOW_SECONDS:
            item.add_marker("slow")
