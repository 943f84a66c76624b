"""The servers that `fronts` compares, and the model that all of them lead to."""

import argparse
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import psutil

from benchmarks.litellm_proxy import open_proxy
from benchmarks.sdks import point_sdks_at
from benchmarks.stand import Stand

DIRECT: Final = "direct"
GATEWAY: Final = "gateway"
LITELLM: Final = "LiteLLM"

FIRST_TOKEN_MS: Final = 300
"""The silence before an answer."""

_SPARE_JOBS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A server that the SDK calls, and the processes that have a part in its answer."""

    url: str
    model: str
    processes: Mapping[str, psutil.Process]

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU that each process has taken so far, with its children."""
        return {name: cpu_seconds(process) for name, process in self.processes.items()}


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU, user plus system, that a process and its children have taken so far."""
    times: Any = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


@asynccontextmanager
async def open_ways(stand: Stand, options: argparse.Namespace) -> AsyncGenerator[Mapping[str, Way]]:
    """Start the servers of each way."""
    point_sdks_at(stand.simulator_url)
    model = f"demo?pieces={options.pieces}&interval_ms={options.interval_ms:g}&first_token_ms={FIRST_TOKEN_MS}"
    info: Any = await stand.broker.call("INFO", "server")
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(stand.gateway())
        worker = await stack.enter_async_context(
            stand.worker(max_jobs=max(options.streams) + _SPARE_JOBS, providers=[options.provider])
        )
        ways = {
            DIRECT: Way(url=stand.simulator_url, model=model, processes={}),
            GATEWAY: Way(
                url=await gateway.ready(),
                model=f"{options.provider}/{model}",
                processes={
                    "gateway": psutil.Process(gateway.pid),
                    "worker": psutil.Process(worker.pid),
                    "Valkey": psutil.Process(info["process_id"]),
                },
            ),
        }
        if options.litellm:
            proxy = await stack.enter_async_context(
                open_proxy(options.litellm, options.provider, model, stand.simulator_url)
            )
            ways[LITELLM] = Way(url=proxy.url, model=model, processes={"proxy": psutil.Process(proxy.pid)})
        yield ways
