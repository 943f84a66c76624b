"""The `tailrace` command."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version
from types import ModuleType

from tailrace.errors import InvalidCursor, InvalidJobId, InvalidRequest, InvalidSettings, TailraceError

_MISUSE = (InvalidCursor, InvalidJobId, InvalidRequest, InvalidSettings)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb. Returns 0 when it is done, 1 when it failed, 2 when it was misused."""
    parser, verbs = _parser()
    parsed = parser.parse_args(arguments)
    try:
        return int(verbs[parsed.verb].run(parsed))
    except TailraceError as error:
        print(f"tailrace {parsed.verb}: {error}", file=sys.stderr)
        return 2 if isinstance(error, _MISUSE) else 1
    except KeyboardInterrupt:
        return 130


def _parser() -> tuple[argparse.ArgumentParser, dict[str, ModuleType]]:
    parser = argparse.ArgumentParser(prog="tailrace", description="LLM generations that outlive the web request.")
    parser.add_argument("--version", action="version", version=f"tailrace {version('tailrace')}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs: dict[str, ModuleType] = {}
    for entry_point in sorted(entry_points(group="tailrace.commands")):
        verb = verbs[entry_point.name] = _load(entry_point)
        verb.add_arguments(
            subparsers.add_parser(entry_point.name, help=verb.SUMMARY, description=f"{verb.SUMMARY.capitalize()}.")
        )
    return parser, verbs


def _load(entry_point: EntryPoint) -> ModuleType:
    module: ModuleType = entry_point.load()
    return module
