"""What the demo stands on: a Redis, the providers or what stands in for them, and one worker."""

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
from tailrace_worker.demo.job import Screen
from tailrace_worker.processes.service import open_service
from tailrace_worker.processes.valkey import EmbeddedBroker

_SIMULATOR_READY = re.compile(r"^simulator on (http\S+)")
_WORKER_READY = re.compile(r"worker (\S+) runs jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the jobs go, and where they can be seen."""

    tailrace: Tailrace
    settings: Settings
    queue: str


@asynccontextmanager
async def open_stage(screen: Screen, redis_url: str | None) -> AsyncGenerator[Stage]:
    """Starts what the environment does not provide, each as a process of its own, and ends it all at the exit.

    Raises:
        InvalidSettings: `redis_url` or a variable of the environment breaks its rule.
        InfrastructureError: Redis cannot be reached, or a process did not start; raised into the block: one has ended.
    """
    async with Interruptible() as interruptible, AsyncExitStack() as stack:
        redis_url = redis_url or os.environ.get("TAILRACE_REDIS_URL")
        what = "yours"
        if redis_url is None:
            redis_url = stack.enter_context(EmbeddedBroker()).url
            what = "a Valkey server of the demo's own"
        settings = Settings.read(redis_url=redis_url)
        tailrace = await stack.enter_async_context(Tailrace.connect(**settings.model_dump()))
        screen.fact("redis", f"{without_password(redis_url)}, {what}")
        # A queue of our own: a worker of somebody else's must not get these jobs, nor ours theirs.
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
            screen.fact("simulator", f"{simulator.said}, speaks as {names} do (process {simulator.pid})")
            for api in simulated:
                env |= api.pointed_at(simulator.said)
            # What is on this machine is not to be asked of a proxy.
            for variable in ("NO_PROXY", "no_proxy"):
                env[variable] = ",".join(filter(None, (env.get(variable), "127.0.0.1")))
        worker = await stack.enter_async_context(
            open_service(*("worker", "--queues", queue), env=env, ready=_WORKER_READY, on_death=interruptible.interrupt)
        )
        screen.fact("worker", f"{worker.said}, runs the jobs of the queue {queue}")
        yield Stage(tailrace=tailrace, settings=settings, queue=queue)
