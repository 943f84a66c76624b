"""The processes of the demo: Redis, a simulator for providers without a key, and one worker."""

import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tailrace.broker.causes import without_password
from tailrace.client import Tailrace
from tailrace.settings import Settings
from tailrace_worker.cancel_scope import Interruptible
from tailrace_worker.demo.job import DemoScreen
from tailrace_worker.processes.provider_apis import simulated_apis, simulator_variables
from tailrace_worker.processes.service import open_service
from tailrace_worker.processes.valkey import EmbeddedBroker


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
    # Only the block is interrupted, and not the end of the processes.
    async with AsyncExitStack() as stack, Interruptible() as interruptible:
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
        if simulated := simulated_apis():
            simulator = await stack.enter_async_context(
                open_service("simulate", "--port=0", env=env, on_death=interruptible.interrupt)
            )
            url = await simulator.ready()
            names = " and ".join(api.title for api in simulated)
            screen.fact("simulator", f"{url}, answers in place of {names} (process {simulator.pid})")
            env |= simulator_variables(url, env)
        worker = await stack.enter_async_context(
            open_service("worker", f"--queues={queue}", env=env, on_death=interruptible.interrupt)
        )
        screen.fact("worker", f"{await worker.ready()}, runs the jobs of queue {queue}")
        yield Stage(tailrace=tailrace, settings=settings, queue=queue)
