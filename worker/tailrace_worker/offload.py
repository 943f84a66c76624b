"""Threads for the slow parts of a request, so that the event loop can run other jobs meanwhile."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

# Python passes its lock on every 5 ms, to any thread that waits for it. With several threads, the event loop would wait
# for each of them, so there is only one.
_thread: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="beside")
# RE2 does not hold Python's lock while it searches, so several threads can share the processor. A slow search delays
# neither other searches nor the functions of the first thread.
_searchers: Final = ThreadPoolExecutor(max_workers=4, thread_name_prefix="search")


async def beside_the_loop(
    do: Callable[_Parameters, _Result], *args: _Parameters.args, **kwargs: _Parameters.kwargs
) -> _Result:
    """Call a function in the one thread that all jobs of a process share, one call after another.

    Args:
        do: The function.
        args: Its positional arguments.
        kwargs: Its named arguments.

    Returns:
        The function's result.
    """
    return await asyncio.wrap_future(_thread.submit(do, *args, **kwargs))


async def search_beside_the_loop(
    search: Callable[_Parameters, _Result], *args: _Parameters.args, **kwargs: _Parameters.kwargs
) -> _Result:
    """Call a function that searches by RE2, in one of the threads for searches.

    Args:
        search: The function.
        args: Its positional arguments.
        kwargs: Its named arguments.

    Returns:
        The function's result.
    """
    return await asyncio.wrap_future(_searchers.submit(search, *args, **kwargs))
