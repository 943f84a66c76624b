"""The processes of the demo: Redis, a simulator for providers without a key, and one worker."""

import os
import re
import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tailrace.broker.causes import without_password
from tailrace.client import Tailrace
from tailrace.settings import Settings
from tailrace_worker.cancel_scope import Interruptible
from tailrace_worker.demo.api import APIS
from tailrace_worker.demo.job import DemoScreen
from tailrace_worker.processes.service import open_service
from tailrace_worker.processes.valkey import EmbeddedBroker

_SIMULATOR_READY = re.compile(r"^simulator on (http\S+)")
_WORKER_READY = re.compile(r"worker (\S+) runs jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The client, the settings and the queue of the demo."""

    tailrace: Tailrace
    settings: Settings
    queue: str


@asynccontextmanager
async def open_stage(screen: DemoScreen, redis_url: str | None) -> AsyncGenerator[Stage]:
    """Start the processes that the environment does not provide, and end them at the exit.

    Args:
        screen: Shows what was started.
        redis_url: The URL of Redis; `None` for that of the environment, or else a new Valkey server.

    Yields:
        The stage for the jobs.

    Raises:
        InvalidSettings: `redis_url` or a variable of the environment is not valid.
        InfrastructureError: Redis cannot be reached, or a process did not start. If a process ends early, this error is
            raised inside the block.
    """
    async with Interruptible() as interruptible, AsyncExitStack() as stack:
        redis_url = redis_url or os.environ.get("TAILRACE_REDIS_URL")
        what = "yours"
        if redis_url is None:
            redis_url = stack.enter_context(EmbeddedBroker()).url
            what = "a Valkey server that the demo started"
        settings = Settings.read(redis_url=redis_url)
        tailrace = await stack.enter_async_context(Tailrace.connect(**settings.model_dump()))
        screen.fact("redis", f"{without_password(redis_url)}, {what}")
        # The demo has its own queue: other workers must not get its jobs, and its worker must not get theirs.
        queue = f"demo-{secrets.token_hex(3)}"
        env = {**os.environ, "TAILRACE_REDIS_URL": redis_url, "TAILRACE_GRACE_SECONDS": "0"}
        simulated = [api for api in APIS if not api.is_real]
        if simulated:
            simulator = await stack.enter_async_context(
                open_service(
                    *("simulate", "--port", "0"),
                    env=env,
                    ready=_SIMULATOR_READY,
                    on_death=interruptible.interrupt,
                )
            )
            names = " and ".join(api.title for api in simulated)
            screen.fact("simulator", f"{simulator.said}, answers in place of {names} (process {simulator.pid})")
            for api in simulated:
                env |= api.pointed_at(simulator.said)
            # A call to the simulator on this machine must not go through a proxy.
            for variable in ("NO_PROXY", "no_proxy"):
                env[variable] = ",".join(filter(None, (env.get(variable), "127.0.0.1")))
        worker = await stack.enter_async_context(
            open_service(*("worker", "--queues", queue), env=env, ready=_WORKER_READY, on_death=interruptible.interrupt)
        )
        screen.fact("worker", f"{worker.said}, runs the jobs of queue {queue}")
        yield Stage(tailrace=tailrace, settings=settings, queue=queue)
