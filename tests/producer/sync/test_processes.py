"""The blocking client in processes that are forked, interrupted, and that end without a word."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tailrace import Settings, sync

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[3]
BEGIN = """
import os, sys
from tailrace import sync
from tests.support.handwritten import REQUEST

client = sync.Tailrace.connect()


def read(job):
    job.cancel()
    return [event.type for event in job.tail()]
"""
FORK_AFTER_A_CALL = """
import threading

job = client.enqueue(REQUEST)
inherited = job.tail()
print("parent", next(inherited).type, flush=True)
reading = threading.Thread(target=lambda: list(job.tail()))
reading.start()
for _ in range(3):
    child = os.fork()
    if child == 0:
        try:
            next(inherited)
        except RuntimeError as error:
            print("child", str(error).partition(",")[0])
        inherited.close()
        print("child", *read(client.enqueue(REQUEST)), job.status().state)
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
job.cancel()
reading.join()
print("parent", *(event.type for event in inherited))
"""
FORK_BEFORE_A_CALL = """
child = os.fork()
if child == 0:
    print("child", *read(client.enqueue(REQUEST)), flush=True)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("parent", *read(client.enqueue(REQUEST)))
"""
END_WITHOUT_A_WORD = """
job = client.enqueue(REQUEST)
tail, others = job.tail(), client.parallel([REQUEST] * 2)
print(next(tail).type, next(others)[1].type)
"""
WAIT = """
with client:
    job = client.enqueue(REQUEST)
    for event in job.tail():
        print(event.type, flush=True)
"""


def started(program: str, settings: Settings) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", BEGIN + program],
        env={**os.environ, "TAILRACE_REDIS_URL": settings.redis_url, "TAILRACE_PREFIX": settings.prefix},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_process_that_is_forked_after_a_call_has_a_loop_and_connections_of_its_own(settings: Settings) -> None:
    with started(FORK_AFTER_A_CALL, settings) as process:
        printed, errors = process.communicate(timeout=50)
    child = ["child This iterator was opened before the process was forked", "child queued cancelled queued"]
    assert printed.splitlines() == ["parent queued", *child * 3, "parent cancelled"]
    assert (errors, process.returncode) == ("", 0)


def test_a_process_that_is_forked_before_the_first_call_has_them_too(settings: Settings) -> None:
    with started(FORK_BEFORE_A_CALL, settings) as process:
        printed, errors = process.communicate(timeout=50)
    assert printed.splitlines() == ["child queued cancelled", "parent queued cancelled"]
    assert (errors, process.returncode) == ("", 0)


def test_a_process_that_ends_without_closing_its_client_leaves_everything_and_says_nothing(settings: Settings) -> None:
    with started(END_WITHOUT_A_WORD, settings) as process:
        printed, errors = process.communicate(timeout=50)
    assert (printed, errors, process.returncode) == ("queued queued\n", "", 0)
    with sync.Tailrace.connect(**settings.model_dump()) as client:
        # The job that was tailed goes on, and those of `parallel` were cancelled.
        assert [queue.due for queue in client.fleet().queues] == [1]


def test_ctrl_c_in_a_call_that_waits_ends_the_process_at_once(settings: Settings) -> None:
    with started(WAIT, settings) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "queued\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=50)
    assert process.returncode == -signal.SIGINT
    # One traceback, and nothing of tasks or connections that were left behind.
    assert errors.startswith("Traceback (most recent call last)")
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert errors.count("Traceback") == 1
