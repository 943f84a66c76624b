"""Defects, as they may be logged: what an exception says may quote a prompt."""

import traceback


def told_by_frames(error: BaseException) -> str:
    """The kinds of an error and of what is behind it, and where they were raised, without their words."""
    told: list[str] = []
    seen: set[int] = set()
    behind: BaseException | None = error
    while behind is not None and id(behind) not in seen:
        seen.add(id(behind))
        frames = "".join(traceback.format_tb(behind.__traceback__))
        told.append(f"{type(behind).__module__}.{type(behind).__qualname__}\n{frames}")
        behind = behind.__cause__ or behind.__context__
    return "behind it: ".join(told).rstrip()
