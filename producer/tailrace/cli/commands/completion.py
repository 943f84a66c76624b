"""`tailrace completion`: prints the completion script for a shell."""

import argparse
from typing import Final

from tailrace.cli.app import build_parser

SUMMARY = "print the script with which your shell completes this command"

_SHELLS: Final = ("bash", "fish", "zsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    parser.add_argument("shell", choices=_SHELLS, help="the shell whose completion script is printed")
    parser.epilog = (
        "Write it to where the shell looks for completions:\n\n"
        "  tailrace completion bash > ~/.local/share/bash-completion/completions/tailrace\n"
        "  tailrace completion fish > ~/.config/fish/completions/tailrace.fish\n"
        "  tailrace completion zsh > ~/.zfunc/_tailrace\n\n"
        "With zsh, ~/.zshrc needs fpath+=~/.zfunc before compinit.\n\n"
        "example: %(prog)s bash"
    )


def run(arguments: argparse.Namespace) -> int:
    """Return 0."""
    import shtab  # noqa: PLC0415  # Only the extra `cli` installs it.

    parser, _ = build_parser()
    print(shtab.complete(parser, shell=arguments.shell))
    return 0
