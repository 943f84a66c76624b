"""Tracebacks for the log without the messages of exceptions, because a message may quote a prompt."""

import traceback


def told_by_frames(error: BaseException) -> str:
    """Describe an error without its messages.

    Args:
        error: The error.

    Returns:
        The classes and the stack frames of the error and of its causes.
    """
    described: list[str] = []
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        frames = "".join(traceback.format_tb(each.__traceback__))
        described.append(f"{type(each).__module__}.{type(each).__qualname__}\n{frames}")
        each = each.__cause__ or each.__context__
    return "caused by ".join(described).rstrip()
