"""The `tailrace` command."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        arguments: The arguments; by default those of the process.

    Returns:
        The exit code: that of `app.run`, or 130 after Ctrl-C.
    """
    try:
        # The import takes a while, and Ctrl-C may come during it.
        from tailrace.cli import app  # noqa: PLC0415

        return app.run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return 130
