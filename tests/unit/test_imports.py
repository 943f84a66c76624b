"""The light side stays light: what a service imports brings no worker and no provider SDK along."""

import subprocess
import sys

import pytest

HEAVY = {"aiohttp", "anthropic", "arq", "openai", "rich", "tailrace_worker", "uvloop"}


@pytest.mark.parametrize("module", ["tailrace", "tailrace.cli", "tailrace.cli.enqueue", "tailrace.cli.tail"])
def test_importing_the_light_side_loads_no_worker_and_no_provider_sdk(module: str) -> None:
    program = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout.split()
    assert "redis" in loaded
    assert HEAVY & set(loaded) == set()
