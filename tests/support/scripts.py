"""Programs that use a gateway with libraries which the tests' own environment does not have."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.node import ROOT

FRAMEWORKS: Final = ROOT / "tests" / "frameworks"


async def printed_json(*command: str | Path, cwd: Path, environment: Mapping[str, str]) -> tuple[Any, int]:
    """Runs a command; returns the JSON that it prints, and its exit code. It may only fail after it printed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(120):
            stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert stdout, stderr.decode()
    assert process.returncode is not None
    return json.loads(stdout), process.returncode


def programs_of(environment: str) -> Path:
    """The programs of another environment. Skips the test where it is missing."""
    directory = ROOT / environment
    if not (directory / "installed").exists():
        pytest.skip(f"{environment} is missing: `make {environment}/installed`.")
    return directory / "bin"
