"""The page of commands: the verbs of the command line, as their parsers know them."""

import argparse
import os
from collections.abc import Iterable, Mapping
from typing import Any, cast
from unittest import mock

from tailrace.cli.app import build_parser
from tailrace_docs.docstrings import table


def markdown() -> str:
    """A section for each verb."""
    with mock.patch.dict(os.environ, {"COLUMNS": "80", "NO_COLOR": "1"}):
        parser, _ = build_parser()
        verbs: Mapping[str, argparse.ArgumentParser] = next(
            cast("Any", action).choices for action in parser._actions if action.dest == "verb"
        )
        return "\n".join(_section(name, verb) for name, verb in verbs.items())


def _section(name: str, verb: argparse.ArgumentParser) -> str:
    parts = [f"## `tailrace {name}`", str(verb.description)]
    # A verb with several actions has the arguments of each.
    for each in _actions(verb) or (verb,):
        parts.append(f"```text\n{each.format_usage().strip()}\n```")
        if rows := list(_rows(each)):
            parts.append(table(("argument", "meaning"), rows))
    if verb.epilog:
        parts.append(f"```text\n{verb.epilog.replace('%(prog)s', verb.prog).strip()}\n```")
    return "\n\n".join(parts) + "\n"


def _actions(verb: argparse.ArgumentParser) -> Iterable[argparse.ArgumentParser]:
    subparsers = [action for action in verb._actions if action.nargs == argparse.PARSER]
    return cast("Any", subparsers[0]).choices.values() if subparsers else ()


def _rows(verb: argparse.ArgumentParser) -> Iterable[tuple[str, str]]:
    formatter = verb._get_formatter()
    for action in verb._actions:
        if action.help in (None, argparse.SUPPRESS) or isinstance(action, argparse._HelpAction):
            continue
        value = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
        if action.option_strings:
            names = [f"`{option} {value}`" if value else f"`{option}`" for option in action.option_strings]
        else:
            names = [f"`{action.metavar or action.dest}`"]
        yield ", ".join(names), formatter._expand_help(action)
