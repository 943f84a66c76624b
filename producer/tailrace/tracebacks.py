"""Tracebacks for the log without the messages of exceptions, because a message may quote a prompt."""

import traceback


def told_by_frames(error: BaseException) -> str:
    """Describe an error without its messages.

    Args:
        error: The error.

    Returns:
        The classes and the stack frames of the error and of its causes.
    """
    told: list[str] = []
    seen: set[int] = set()
    behind: BaseException | None = error
    while behind is not None and id(behind) not in seen:
        seen.add(id(behind))
        frames = "".join(traceback.format_tb(behind.__traceback__))
        told.append(f"{type(behind).__module__}.{type(behind).__qualname__}\n{frames}")
        behind = behind.__cause__ or behind.__context__
    return "behind it: ".join(told).rstrip()
