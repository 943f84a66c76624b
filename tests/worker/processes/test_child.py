"""A child ends with its owner, however the owner ends, and in good time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil
import pytest

from tailrace.errors import InfrastructureError
from tailrace_worker.processes.child import ChildProcess

pytestmark = pytest.mark.process

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
STUBBORN = [
    *(sys.executable, "-S", "-c"),
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)",
]
PARENT = [
    *(sys.executable, "-S", "-c"),
    "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True)",
    *SLEEPER,
]
OWNER = """
import sys
from pathlib import Path
from tailrace_worker.processes.child import ChildProcess
with ChildProcess(sys.argv[2:], scratch=Path(sys.argv[1]), grace_seconds=0.2) as child:
    print(child.pid, flush=True)
    child.wait()
"""


def line(output: IO[bytes] | None) -> str:
    assert output is not None
    return output.readline().decode().strip()


def alive(pid: int) -> bool:
    """An orphan's zombie is left to whatever runs as process 1, which may not care."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(*pids: int) -> bool:
    """Whether the processes end within 10 s."""
    deadline = time.monotonic() + 10
    while any(map(alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process, Path]]:
    """A process, the child that it has, and the child's scratch directory."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(scratch), *STUBBORN],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
    ) as process:
        said = {line(process.stdout), line(process.stdout)}
        (pid,) = said - {"ready"}
        yield process, psutil.Process(int(pid)), scratch
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_child_ends_with_its_owner(
    owner: tuple[subprocess.Popen[bytes], psutil.Process, Path], number: signal.Signals
) -> None:
    process, child, scratch = owner
    watchdog = child.parent()
    assert watchdog is not None
    process.send_signal(number)
    assert process.wait(10) == -number
    assert gone(watchdog.pid, child.pid)
    assert not scratch.exists()


def test_the_signals_of_the_owners_terminal_do_not_reach_a_child(
    owner: tuple[subprocess.Popen[bytes], psutil.Process, Path],
) -> None:
    process, child, _ = owner
    watchdog = child.parent()
    assert watchdog is not None
    assert len({os.getpgid(pid) for pid in (process.pid, watchdog.pid, child.pid)}) == 3
    assert len({os.getsid(pid) for pid in (process.pid, watchdog.pid, child.pid)}) == 3


def test_a_child_ends_with_its_block_and_leaves_no_zombie() -> None:
    children = psutil.Process().children(recursive=True)
    with ChildProcess(SLEEPER) as child:
        assert child.poll() is None
    assert child.poll() == 128 + signal.SIGTERM
    assert gone(child.pid)
    assert psutil.Process().children(recursive=True) == children


def test_a_child_that_will_not_end_is_killed_after_the_grace_time() -> None:
    with ChildProcess(STUBBORN, output=subprocess.PIPE, grace_seconds=0.2) as child:
        assert line(child.output) == "ready"
        begin = time.monotonic()
        child.stop()
        assert time.monotonic() - begin >= 0.2
    assert child.poll() == 128 + signal.SIGKILL


def test_a_child_can_be_killed_at_once() -> None:
    with ChildProcess(STUBBORN, output=subprocess.PIPE, grace_seconds=60) as child:
        assert line(child.output) == "ready"
        child.kill()
        assert child.poll() == 128 + signal.SIGKILL
        assert not psutil.pid_exists(child.pid)


def test_a_child_that_will_not_end_can_be_killed_without_waiting_for_it() -> None:
    with ChildProcess(STUBBORN, output=subprocess.PIPE, grace_seconds=60) as child:
        assert line(child.output) == "ready"
        child.terminate()
        child.terminate(at_once=True)
        assert child.wait(10) == 128 + signal.SIGKILL


def test_what_a_command_leaves_behind_ends_with_it() -> None:
    with ChildProcess(PARENT, output=subprocess.PIPE) as child:
        grandchild = int(line(child.output))
        assert child.wait(10) == 0
        assert gone(grandchild)


def test_a_child_tells_the_exit_code_of_its_command() -> None:
    with ChildProcess([sys.executable, "-S", "-c", "raise SystemExit(7)"]) as child:
        assert child.wait(10) == 7


def test_a_scratch_directory_outlives_a_command_that_was_stopped(tmp_path: Path) -> None:
    with ChildProcess(SLEEPER, scratch=tmp_path) as child:
        child.stop()
    assert tmp_path.exists()


def test_a_command_that_is_not_there_is_an_error_that_names_it() -> None:
    children = psutil.Process().children()
    with pytest.raises(InfrastructureError, match=r"'no-such-command' cannot be started: .*No such file"):
        ChildProcess(["no-such-command"])
    assert psutil.Process().children() == children
