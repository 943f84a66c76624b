"""A thread beside the loop, for what takes long of a request: other jobs go on meanwhile."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

# Python hands its lock over every 5 ms, and to anybody who waits for it: the loop would wait for each of several.
_thread: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="beside")


async def beside_the_loop(
    do: Callable[_Parameters, _Result], *args: _Parameters.args, **kwargs: _Parameters.kwargs
) -> _Result:
    """Calls a function in the one thread that all jobs of a process share, one after another."""
    return await asyncio.wrap_future(_thread.submit(do, *args, **kwargs))
