"""`tailrace keys`, and what `tailrace serve` does without keys."""

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tailrace import Settings, Tailrace
from tailrace.access.api_key import key_id_of
from tailrace.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the test's server and prefix where it looks for them."""
    monkeypatch.setenv("TAILRACE_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("TAILRACE_PREFIX", settings.prefix)


def keys(*arguments: str) -> int:
    try:
        return main(["keys", *arguments])
    except SystemExit as left:
        return int(left.code or 0)


def created(capsys: Capture, *arguments: str) -> tuple[str, str]:
    """The id and the token of a new key."""
    assert keys("create", *arguments) == 0
    token = capsys.readouterr().out.strip()
    key_id = key_id_of(token)
    assert key_id is not None
    return key_id, token


@asynccontextmanager
async def serving(*arguments: str) -> AsyncGenerator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tailrace", "serve", "--port", "0", *arguments), stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


@pytest.mark.parametrize("kept_in", ["redis", "file"])
def test_keys_are_created_listed_and_revoked(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_in: str
) -> None:
    if kept_in == "file":
        monkeypatch.setenv("TAILRACE_GATEWAY_KEYS_FILE", str(tmp_path / "keys.json"))
        # A file needs no Redis.
        monkeypatch.setenv("TAILRACE_REDIS_URL", "redis://127.0.0.1:1")
        (tmp_path / "keys.json").write_text('{"keys": []}')
    assert keys("list") == 0
    assert capsys.readouterr().out == "no keys\n"
    limits = ("--max-running", "20", "--max-queued", "100", "--per-second", "50")
    first, token = created(capsys, "--tenant", "acme", "--name", "The shop\x1b[2J", *limits)
    second, _ = created(capsys, "--tenant", "other")
    assert keys("list") == 0
    listed = capsys.readouterr().out
    shown = rf"^{first}  acme    \d{{4}}-\d\d-\d\d  running=20 queued=100 per-second=50  The shop"
    assert re.search(shown, listed, re.MULTILINE)
    assert "\x1b" not in listed
    assert token not in listed
    assert keys("list", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["id"] for line in lines} == {first, second}
    assert all("sha256" not in line for line in lines)
    assert keys("revoke", first) == 0
    assert capsys.readouterr().out == f"revoked {first}\n"
    assert keys("revoke", first) == 1
    assert "There is no key" in capsys.readouterr().err


def test_only_the_token_is_on_stdout(capsys: Capture) -> None:
    assert keys("create", "--tenant", "acme") == 0
    output = capsys.readouterr()
    assert key_id_of(output.out.removesuffix("\n"))
    assert "it is shown only now" in output.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("create", "--tenant", "a b"),
        ("create", "--tenant", "a", "--max-queued", "0"),
        ("create", "--tenant", "a", "--per-second", "0.5"),
        ("revoke",),
        (),
        ("rotate",),
    ],
)
def test_a_wrong_call_is_told(capsys: Capture, arguments: tuple[str, ...]) -> None:
    assert keys(*arguments) == 2
    assert capsys.readouterr().err.startswith("tailrace keys")


@pytest.mark.process
async def test_without_keys_another_interface_is_not_served() -> None:
    async with serving("--host", "0.0.0.0") as process:  # noqa: S104
        output, errors = await process.communicate()
    assert (process.returncode, output) == (2, b"")
    assert b"tailrace keys create --tenant NAME" in errors


@pytest.mark.process
async def test_without_keys_the_loopback_interface_is_served_and_told_to_be_all() -> None:
    async with serving() as process:
        assert process.stdout is not None
        assert b"for this machine only" in await process.stdout.readline()


@pytest.mark.process
async def test_with_a_key_every_interface_is_served(tailrace: Tailrace) -> None:
    await tailrace.access.api_keys.create(tenant="acme")
    async with serving("--host", "0.0.0.0") as process:  # noqa: S104
        assert process.stdout is not None
        assert b"for clients with an API key" in await process.stdout.readline()


@pytest.mark.process
async def test_a_missing_file_of_keys_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_GATEWAY_KEYS_FILE", str(tmp_path / "none.json"))
    async with serving() as process:
        _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"`tailrace keys create` makes it" in errors
