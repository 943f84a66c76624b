"""Shows the events of jobs until each job ends, or until the user leaves."""

import asyncio
import logging
import shlex
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

from tailrace import BrokerUnavailable, EntryId, Job, JobNotFound, JobState, TailraceError
from tailrace.broker.causes import without_password
from tailrace.cli.display.choice import Display
from tailrace.cli.tty import interrupt
from tailrace.cursor import BEGINNING


async def follow(
    jobs: Sequence[Job], display: Display, *, after: EntryId = BEGINNING, redis_url: str | None = None
) -> int:
    """Show the events of jobs up to their endings.

    If the user leaves, or Redis stays unavailable, the command that reads on is printed.

    Args:
        jobs: The jobs, at least one.
        display: Where the events are shown.
        after: The cursor after which the events begin.
        redis_url: The URL of Redis for the printed command, if the user gave one.

    Returns:
        The exit code: 0 if all jobs completed, otherwise 1.

    Raises:
        BrokerUnavailable: Redis stays unavailable.
        TailraceError: The only job cannot be followed. If there are several, the others are followed nevertheless.
    """
    following = _Following(jobs, display, after)
    try:
        with _warnings_shown_by(display):
            return await following.run()
    except (asyncio.CancelledError, BrokerUnavailable):
        if not following.is_over:
            display.say(following.how_to_resume(redis_url))
        raise


@contextmanager
def _warnings_shown_by(display: Display) -> Generator[None]:
    """Show warnings of the log on the display, because on stderr they would appear in the middle of the drawing."""
    logger, handler = logging.getLogger("tailrace"), _DisplayHandler(display)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _DisplayHandler(logging.Handler):
    def __init__(self, display: Display) -> None:
        super().__init__(logging.WARNING)
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        self._display.say(record.getMessage())


class _Following:
    def __init__(self, jobs: Sequence[Job], display: Display, after: EntryId) -> None:
        self._jobs = jobs
        self._display = display
        self._cursors = {job.id: after for job in jobs}
        self.is_over = False
        """True after the last event. Only output may still be pending."""

    async def run(self) -> int:
        try:
            async with asyncio.TaskGroup() as tasks:
                # Read keys before drawing: a process in the background (`bg`) is then stopped before it draws.
                helpers = [tasks.create_task(self._offer_cancel())] if interrupt.can_ask() else []
                helpers.append(tasks.create_task(self._display.draw()))
                tails = [tasks.create_task(self._tail(job)) for job in self._jobs]
                await asyncio.wait(tails)
                self.is_over = True
                for task in helpers:
                    task.cancel()
        except BaseExceptionGroup as failures:
            # The first is the cause; the other tasks were cancelled because of it.
            raise failures.exceptions[0] from None
        return 0 if all(tail.result() == JobState.COMPLETED for tail in tails) else 1

    def how_to_resume(self, redis_url: str | None) -> str:
        """Return the sentence with the command that reads on from here.

        Args:
            redis_url: The URL of Redis, if the user gave one.
        """
        state, command = "The jobs go on.", ["tailrace", "tail"]
        if len(self._jobs) == 1:
            state = "The job goes on."
            command += ["--after", str(self._cursors[self._jobs[0].id])]
        if redis_url:
            command += ["--redis-url", without_password(redis_url)]
        if any(job.id.startswith("-") for job in self._jobs):
            command.append("--")
        return f"{state} To read on: {shlex.join([*command, *self._cursors])}"

    async def _tail(self, job: Job) -> str:
        """Show a job, and return how it ended, or `""` if it cannot be followed."""
        try:
            return await self._show(job)
        except TailraceError as error:
            # If Redis is unavailable for one job, it is unavailable for all of them.
            if len(self._jobs) == 1 or isinstance(error, BrokerUnavailable):
                raise
            self._display.say(str(error))
            return ""

    async def _show(self, job: Job) -> str:
        last = ""
        async with job.tail(after=self._cursors[job.id]) as tail:
            async for event in tail:
                self._display.show(job, event)
                self._cursors[job.id], last = event.id, event.type
        if not last:
            last = (await job.status()).state
            self._display.say(f"{last}: no event follows {self._cursors[job.id]}")
        return last

    async def _offer_cancel(self) -> None:
        """Ask after Ctrl-C whether to leave or to cancel the jobs, and do it."""
        what = "the job" if len(self._jobs) == 1 else f"all {len(self._jobs)} jobs"
        key = await interrupt.choice(what, self._display.ask)
        if key == interrupt.LEAVE:
            # By now the previous handler of SIGINT is installed again. It ends the command.
            signal.raise_signal(signal.SIGINT)
        else:
            for job in self._jobs:
                with suppress(JobNotFound):
                    await job.cancel("cancelled with Ctrl-C")
