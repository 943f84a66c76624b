import asyncio
from functools import partial
from itertools import pairwise

from tailrace_worker.simulator.clock import Clock


async def test_the_clock_wakes_in_the_order_of_what_is_due_and_never_early() -> None:
    clock = Clock()
    began_ms = clock.now_ms()
    woken: list[tuple[float, float]] = []
    done = asyncio.Event()

    def wake(after_ms: float) -> None:
        woken.append((after_ms, clock.now_ms() - began_ms))
        if len(woken) == 100:
            done.set()

    in_any_order = [5 + (number * 37 % 100) / 10 for number in range(100)]
    for after_ms in in_any_order:
        clock.at(began_ms + after_ms, partial(wake, after_ms))
    async with asyncio.timeout(5):
        await done.wait()
    assert all(at_ms >= after_ms for after_ms, at_ms in woken)
    assert all(later - sooner > -1 for (sooner, _), (later, _) in pairwise(woken))


async def test_who_is_due_sooner_does_not_wait_for_who_came_first() -> None:
    clock = Clock()
    done = asyncio.Event()
    clock.at(clock.now_ms() + 60_000, done.clear)
    clock.at(clock.now_ms() + 5, done.set)
    async with asyncio.timeout(5):
        await done.wait()


async def test_who_is_behind_catches_up_in_one_turn_of_the_loop() -> None:
    clock = Clock()
    due_ms = clock.now_ms() - 100
    woken = 0

    def wake() -> None:
        nonlocal due_ms, woken
        woken += 1
        due_ms += 10
        clock.at(due_ms, wake)

    clock.at(due_ms, wake)
    for _ in range(3):
        await asyncio.sleep(0)
    assert woken >= 10
