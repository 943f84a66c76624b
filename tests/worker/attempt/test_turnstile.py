"""One task a turn of the loop."""

import asyncio

from tailrace_worker.attempt.turnstile import Turnstile


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
    tasks["e"].cancel()
    async with asyncio.timeout(5):
        await asyncio.wait(tasks.values())
        await turnstile.turn()
    assert seen == ["a", "c", "d", "f"]


async def test_a_turn_that_is_cancelled_as_it_comes_goes_to_the_next_in_line() -> None:
    turnstile = Turnstile()
    turnstile._is_free = False
    first, second = (asyncio.create_task(turnstile.turn()) for _ in range(2))
    await asyncio.sleep(0)
    turnstile._next()
    first.cancel()
    async with asyncio.timeout(5):
        await second
    assert first.cancelled()
