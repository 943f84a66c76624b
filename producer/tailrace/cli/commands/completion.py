"""`tailrace completion`: prints the script with which a shell completes the command."""

import argparse
from typing import Final

from tailrace.cli.app import build_parser

SUMMARY = "print what makes your shell complete this command"

_SHELLS: Final = ("bash", "fish", "zsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    parser.add_argument("shell", choices=_SHELLS, help="the shell whose completion script is printed")
    parser.epilog = (
        "Keep it where the shell looks for completions:\n\n"
        "  tailrace completion bash > ~/.local/share/bash-completion/completions/tailrace\n"
        "  tailrace completion fish > ~/.config/fish/completions/tailrace.fish\n"
        "  tailrace completion zsh > ~/.zfunc/_tailrace\n\n"
        "For zsh, fpath+=~/.zfunc must come before compinit.\n\n"
        "example: %(prog)s bash"
    )


def run(arguments: argparse.Namespace) -> int:
    """Return 0."""
    import shtab  # noqa: PLC0415  # Of the extra.

    parser, _ = build_parser()
    print(shtab.complete(parser, shell=arguments.shell))
    return 0
