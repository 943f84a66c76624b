"""The `tailrace` command."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb. Returns what `app.run` does, or 130 when it was left by Ctrl-C."""
    try:
        # It takes a while, in which Ctrl-C may come.
        from tailrace.cli import app  # noqa: PLC0415

        return app.run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return 130
