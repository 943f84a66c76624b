"""Threads beside the loop, for what takes long of a request: other jobs go on meanwhile."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

# Python hands its lock over every 5 ms, and to anybody who waits for it: the loop would wait for each of several.
_thread: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="beside")
# RE2 holds no lock while it searches: the system divides the processor among searches, so that a slow one delays no
# other, and none of them what is compiled or read.
_searchers: Final = ThreadPoolExecutor(max_workers=4, thread_name_prefix="search")


async def beside_the_loop(
    do: Callable[_Parameters, _Result], *args: _Parameters.args, **kwargs: _Parameters.kwargs
) -> _Result:
    """Calls a function in the one thread that all jobs of a process share, one after another."""
    return await asyncio.wrap_future(_thread.submit(do, *args, **kwargs))


async def search_beside_the_loop(
    search: Callable[_Parameters, _Result], *args: _Parameters.args, **kwargs: _Parameters.kwargs
) -> _Result:
    """Calls a function that searches, in one of the few threads for that."""
    return await asyncio.wrap_future(_searchers.submit(search, *args, **kwargs))
