"""One task a turn of the loop."""

import asyncio

from tailrace_worker.turnstile import Turnstile


async def test_between_two_that_come_through_all_others_get_their_turn() -> None:
    turnstile, seen = Turnstile(), list[str]()

    async def comes(name: str) -> None:
        await turnstile.turn()
        seen.append(name)

    async def ticks() -> None:
        while True:
            seen.append("-")
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(ticks())
        await asyncio.gather(*(group.create_task(comes(name)) for name in "abcd"))
        ticking.cancel()
    passed = "".join(seen).strip("-")
    assert [part for part in passed.split("-") if part] == list("abcd")


async def test_who_is_cancelled_holds_up_nobody() -> None:
    turnstile, seen = Turnstile(), list[str]()

    async def comes(name: str) -> None:
        await turnstile.turn()
        seen.append(name)

    tasks = {name: asyncio.create_task(comes(name)) for name in "abcdef"}
    await asyncio.sleep(0)
    tasks["b"].cancel()
    while "c" not in seen:
        # In the very turn that is its own.
        if turnstile._waiting and turnstile._waiting[0].done():
            tasks["c"].cancel()
        await asyncio.sleep(0)
        if tasks["c"].done():
            break
    tasks["e"].cancel()
    async with asyncio.timeout(5):
        await asyncio.wait(tasks.values())
        await turnstile.turn()
    assert [name for name in seen if name != "c"] == ["a", "d", "f"]
