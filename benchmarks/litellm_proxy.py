"""LiteLLM's proxy, for `fronts` to compare with: in a virtual environment of its own, as a process.

It is set up as its documentation advises for production, with one worker process, and without a database, a cache or
logging of requests. It needs no key from its clients, just as the gateway on the loopback needs none.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO, Final, NamedTuple

from tailrace.api_kinds import ApiKind
from tailrace_worker.processes.child import ChildProcess

REQUIREMENT: Final = "litellm[proxy]==1.108.7"

_HOST: Final = "127.0.0.1"
_READY_SECONDS: Final = 180
_POLL_SECONDS: Final = 0.2
_LOG_CHARS: Final = 2_000
"""How much of its log is told if it does not start."""
_ENVIRONMENT: Final = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    # It would load its prices from the Internet.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}


class RunningProxy(NamedTuple):
    """A proxy that answers."""

    pid: int
    url: str


def install(folder: Path) -> None:
    """Make a virtual environment with LiteLLM, unless the folder exists. This takes minutes.

    Args:
        folder: The folder of the virtual environment.
    """
    if folder.exists():
        return
    print(f"Installing {REQUIREMENT} into {folder} ...", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", REQUIREMENT], check=True)


@asynccontextmanager
async def open_proxy(folder: Path, kind: ApiKind, model: str, provider_url: str) -> AsyncGenerator[RunningProxy]:
    """Run the proxy until the block is left.

    Args:
        folder: The folder of the virtual environment.
        kind: The kind of the provider's API.
        model: The provider's model. Clients ask the proxy for the same name.
        provider_url: The URL of the provider, without a path.

    Yields:
        The proxy, as soon as it accepts connections.
    """
    with NamedTemporaryFile("w", suffix=".yaml") as config, TemporaryFile() as log:
        # JSON is YAML.
        json.dump(_config(kind, model, provider_url), config)
        config.flush()
        port = _free_port()
        options = ("--host", _HOST, "--port", str(port), "--config", config.name, "--num_workers", "1")
        # With -I, it imports nothing but what its own environment has.
        command = [str(folder / "bin" / "python"), "-I", str(folder / "bin" / "litellm"), *options]
        with ChildProcess(command, env={**os.environ, **_ENVIRONMENT}, output=log) as child:
            await _ready(child, port, log)
            yield RunningProxy(child.pid, f"http://{_HOST}:{port}")


def _config(kind: ApiKind, model: str, provider_url: str) -> dict[str, object]:
    protocol, path = ("anthropic", "") if kind == "anthropic" else ("openai", "/v1")
    parameters = {"model": f"{protocol}/{model}", "api_base": provider_url + path, "api_key": "key-of-the-benchmark"}
    return {
        "model_list": [{"model_name": model, "litellm_params": parameters}],
        "litellm_settings": {"set_verbose": False, "json_logs": True, "request_timeout": 600},
    }


async def _ready(child: ChildProcess, port: int, log: IO[bytes]) -> None:
    """Wait for the port, which the server opens once it has started."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_READY_SECONDS):
            while child.poll() is None:
                try:
                    _, writer = await asyncio.open_connection(_HOST, port)
                except OSError:
                    await asyncio.sleep(_POLL_SECONDS)
                else:
                    writer.close()
                    return
    log.seek(0)
    raise SystemExit(f"LiteLLM's proxy did not start: {log.read().decode(errors='replace')[-_LOG_CHARS:]}")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind((_HOST, 0))
        port: int = listening.getsockname()[1]
        return port
