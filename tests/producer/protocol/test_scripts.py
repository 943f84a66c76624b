"""The Lua files: they are those that the code knows, they are sound Lua, and they spell no key of their own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import tailrace
from tailrace.protocol.scripts import Script

LUA: Final = Path(tailrace.__file__).parent / "protocol" / "lua"
FILES: Final = sorted(LUA.rglob("*.lua"))
USES_EVERY_MODULE: Final = """
import sys
opened = []
sys.addaudithook(lambda event, arguments: event == "open" and opened.append(str(arguments[0])))
import tailrace.client, tailrace.cli.app
from tailrace.protocol.scripts import Script
print(*(name for name in opened if name.endswith(".lua")))
assert Script.ADMIT.source is Script.ADMIT.source
print(*(name for name in opened if name.endswith(".lua")))
"""


def name_of(file: Path) -> str:
    return file.relative_to(LUA).with_suffix("").as_posix()


def head_of(file: Path) -> str:
    """The comment that a file begins with."""
    head, _, code = file.read_text(encoding="utf-8").partition("\n\n")
    assert code
    assert all(line.startswith("--") for line in head.splitlines())
    return head


def code_of(file: Path) -> str:
    """What follows that comment."""
    return file.read_text(encoding="utf-8").partition("\n\n")[2]


def name_of_script(script: Script) -> str:
    return script.name


def test_every_file_belongs_to_a_script_and_every_script_has_its_files() -> None:
    known = {script.file for script in Script} | {shared.file for script in Script for shared in script.shared}
    assert known == {name_of(file) for file in FILES}


@pytest.mark.parametrize("script", Script, ids=name_of_script)
def test_a_script_shares_no_code_with_the_other_side(script: Script) -> None:
    folders = {Path(shared.file).parent.name for shared in script.shared}
    assert folders <= {"", script.side}


@pytest.mark.parametrize("script", Script, ids=name_of_script)
def test_a_file_says_what_its_script_does_takes_and_returns(script: Script) -> None:
    file = LUA / f"{script.file}.lua"
    head = head_of(file)
    assert "KEYS: 1" in head
    assert ("ARGV: 1" in head) == ("ARGV" in code_of(file))
    assert "Returns " in head
    assert re.findall(r"(\w+)\.lua", head) == [Path(shared.file).name for shared in script.shared]


@pytest.mark.parametrize("script", Script, ids=name_of_script)
def test_the_comment_of_a_file_is_not_sent(script: Script) -> None:
    name, source, key_count, *_ = script.command(("a", "b"), 1)
    assert (name, key_count) == ("EVAL", 2)
    assert "KEYS: 1" not in str(source)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_file_spells_no_key(file: Path) -> None:
    """Keys come in from `keys.py`, so that what a script touches is decided in one place."""
    code = code_of(file)
    if name_of(file) == "history":
        assert re.findall(r"redis\.p?call\((.*?)\)", code) == ["'INFO', 'server', 'replication'"]
    else:
        assert [literal for literal in re.findall(r"'([^'\n]*)'", code) if re.search(r"^\w+:|:\w*$", literal)] == []


@pytest.mark.parametrize("script", Script, ids=name_of_script)
def test_a_script_is_lua(script: Script) -> None:
    lua = pytest.importorskip("lupa.lua51")
    lua.LuaRuntime().compile(script.source)


@pytest.mark.process
@pytest.mark.skipif(shutil.which("luacheck") is None, reason="luacheck is not installed")
@pytest.mark.parametrize("script", Script, ids=name_of_script)
def test_luacheck_finds_nothing(script: Script) -> None:
    options = ["--std", "lua51", "--read-globals", "redis", "KEYS", "ARGV", "--max-line-length", "120"]
    # No script uses all of the code that it shares with others.
    unused = ["--ignore", "211"] if script.shared else []
    command = ["luacheck", "-", "--no-color", *options, *unused]
    checked = subprocess.run(command, input=script.source, capture_output=True, check=False, text=True)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.process
def test_a_file_is_read_when_its_script_is_first_used_and_once() -> None:
    command = [sys.executable, "-c", USES_EVERY_MODULE]
    at_import, at_use = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    assert at_import == ""
    assert [Path(name).name for name in at_use.split()] == ["admit.lua"]
