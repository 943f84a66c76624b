"""The AI SDK's own clients, from npm, in a process of node."""

import base64
import json
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal

import pytest

ROOT: Final = Path(__file__).parents[2]
SCRIPTS: Final = ROOT / "tests" / "node"
PACKAGES: Final = ROOT / ".node"
"""Where `make` installs the packages that `tests/node/package.json` names."""


def needed() -> None:
    """Skips the test where node or the packages are missing."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed.")
    if not (PACKAGES / "installed").exists():
        pytest.skip("The npm packages are not installed: `make .node/installed`.")


@dataclass(frozen=True, slots=True)
class SdkMessage:
    """What a client made of a stream."""

    message: Any
    problems: list[str]
    transient: list[Any]


class SdkClients:
    """The clients of both versions."""

    def __init__(self, stdin: IO[str], stdout: IO[str]) -> None:
        self._stdin = stdin
        self._stdout = stdout

    def read(self, stream: bytes, *, sdk: Literal[6, 7]) -> SdkMessage:
        """Lets a client read a whole stream."""
        self._stdin.write(json.dumps({"sdk": sdk, "stream": base64.b64encode(stream).decode()}) + "\n")
        self._stdin.flush()
        return SdkMessage(**json.loads(self._stdout.readline()))


@contextmanager
def running_sdk_clients() -> Generator[SdkClients]:
    """Starts the process; it ends with the context."""
    needed()
    script = (SCRIPTS / "ui_messages.mjs").read_text(encoding="utf-8")
    # What a script that is not in a file imports is looked for in the working directory.
    command = ["node", "--input-type=module", "--eval", script]
    with subprocess.Popen(
        command, cwd=PACKAGES, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdin
        assert process.stdout
        yield SdkClients(process.stdin, process.stdout)
