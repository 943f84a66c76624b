"""Whether a worker can do its work on this Redis: found out by trying each command that it uses, on the keys it uses.

The commands are queued in a transaction that is discarded. Redis checks rights, arity and whether it takes writes as it
queues, so all of them are tried, on the real keys, and none is run.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from redis.asyncio import Redis

from tailrace.broker.wire import Wire, packed
from tailrace.errors import BrokerRefused, BrokerUnavailable
from tailrace.protocol.keys import Keys, arq_in_progress, arq_job, arq_result, arq_retry, new_job_id

_logger = logging.getLogger(__name__)

_CHECK_SECONDS: Final = 15.0
_REFUSED_SECONDS: Final = 1.0
"""How often it is checked whether rights were given back."""
_OLDEST: Final = (7, 0)
"""`PEXPIRE GT` came with Redis 7.0."""
_told: Final[set[str]] = set()
"""What this process has warned of."""
_NEEDED: Final = "A worker needs Redis 7.0 or newer, or Valkey, with no command renamed."
_TRANSACTION: Final = ("+ping", "+multi", "+exec")


class RedisUnfit(BrokerRefused):
    """Redis refuses for ever what a worker cannot do without: it lacks a right, or does not know a command."""


class _Use(NamedTuple):
    """A command that a worker uses."""

    command: tuple[str, ...]
    pattern: str
    """The rule of an ACL that allows its keys, or its channel."""


class RedisCheck:
    """Checks Redis for one worker, again and again: rights may be taken from a connection that stands."""

    def __init__(self, redis: Redis, keys: Keys, queues: Sequence[str]) -> None:
        self._wire = Wire(redis)
        self._uses = list(_uses(keys, queues, new_job_id()))
        self._bell, self._bells = keys.bell(new_job_id()), f"&{keys.bell('*')}"
        self._lock = asyncio.Lock()
        self._passed = asyncio.Event()
        self._passed.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._wire.disconnect()

    async def passed(self) -> None:
        """Returns once Redis lets a worker work, as far as is known."""
        await self._passed.wait()

    async def check(self) -> None:
        """Checks everything, and warns, once, of what only endangers the jobs.

        Raises:
            RedisUnfit: Something is missing that a worker needs; the message has all of it, as rules of an ACL.
            BrokerRefused: Redis does not let us in, or takes no writes now.
            BrokerUnavailable: Redis cannot be reached.
        """
        async with self._lock:
            await self._wire.connect()
            await self._try_transaction()
            await self._try_all()
            warnings = [*await self._state(), *await self._subscribing()]
        for warning in warnings:
            if warning not in _told:
                _told.add(warning)
                _logger.warning("%s", warning)

    async def review(self) -> bool:
        """Tries the commands again. Returns whether the worker may go on, and logs where that has changed."""
        try:
            async with self._lock:
                if not self._wire.is_connected:
                    await self._wire.connect()
                await self._try_all()
        except RedisUnfit as unfit:
            if self._passed.is_set():
                _logger.error("no jobs are claimed until this is set right: %s", unfit)  # noqa: TRY400 known, and no defect
            self._passed.clear()
        except (BrokerUnavailable, BrokerRefused) as error:
            # It passes by itself, and tells nothing of rights.
            _logger.debug("the rights cannot be checked: %s", error)
        else:
            if not self._passed.is_set():
                _logger.info("jobs are claimed again: Redis allows all that a worker needs")
            self._passed.set()
        return self._passed.is_set()

    async def run(self) -> None:
        """Reviews until it is cancelled."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS if self._passed.is_set() else _REFUSED_SECONDS)
            await self.review()

    async def _try_transaction(self) -> None:
        replies = await self._exchange(("PING",), ("MULTI",), ("EXEC",))
        missing = [rule for rule, reply in zip(_TRANSACTION, replies, strict=True) if _is_right(reply)]
        if missing:
            raise RedisUnfit(_lacking(missing))

    async def _try_all(self) -> None:
        begun, *replies, discarded = await self._exchange(
            ("MULTI",), *(use.command for use in self._uses), ("DISCARD",)
        )
        if _is_right(begun):
            raise RedisUnfit(_lacking(["+multi"]))
        if isinstance(discarded, Exception):
            # It may not be allowed: a connection that is closed discards as well.
            await self._wire.connect()
        refused = [(use, reply) for use, reply in zip(self._uses, replies, strict=True) if isinstance(reply, Exception)]
        if rules := {_rule(use, str(reply)): None for use, reply in refused if _is_right(reply)}:
            raise RedisUnfit(_lacking(list(rules)))
        for use, reply in refused:
            if _is_unknown(reply):
                raise RedisUnfit(f"Redis does not know {use.command[0]} as a worker uses it ({reply}). {_NEEDED}")
            raise BrokerRefused(f"Redis refuses {use.command[0]}: {reply}")

    async def _state(self) -> list[str]:
        """What is to be warned of. Raises `RedisUnfit` if the server is too old."""
        (reply,) = await self._exchange(("INFO",))
        if isinstance(reply, Exception):
            _logger.debug("version, eviction policy and append-only file are not checked: %s", reply)
            return []
        info = dict(line.split(":", 1) for line in reply.decode(errors="replace").splitlines() if ":" in line)
        version = info.get("redis_version", "")
        with suppress(ValueError):  # What is no number is of another server that speaks the protocol.
            if tuple(map(int, version.split(".")[:2])) < _OLDEST:
                raise RedisUnfit(f"Redis {version} is too old. {_NEEDED}")
        warnings: list[str] = []
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            warnings.append(
                f"Redis may evict jobs when its memory is full, by its maxmemory-policy {policy}: "
                "set it to noeviction, and enqueue raises an error then."
            )
        if info.get("aof_enabled") == "0":
            warnings.append(
                "Redis keeps no append-only file: a restart loses all jobs since its last snapshot. Set appendonly yes."
            )
        return warnings

    async def _subscribing(self) -> list[str]:
        """Tails subscribe, in services that may share the worker's user."""
        (reply,) = await self._exchange(("SUBSCRIBE", self._bell))
        if not isinstance(reply, Exception):
            (left,) = await self._exchange(("UNSUBSCRIBE", self._bell))
            if isinstance(left, Exception):
                await self._wire.disconnect()
            return []
        rule = _rule(_Use(("SUBSCRIBE",), self._bells), str(reply))
        return [f"Redis lets nobody tail jobs by the user of this worker, who lacks {rule}: services need another one."]

    async def _exchange(self, *commands: tuple[str, ...]) -> list[Any]:
        return await self._wire.exchange(b"".join(packed(*command) for command in commands), len(commands))


def _is_right(reply: object) -> bool:
    return isinstance(reply, Exception) and "permission" in str(reply).lower()


def _is_unknown(reply: Exception) -> bool:
    return any(words in str(reply) for words in ("unknown command", "wrong number of arguments"))


def _rule(use: _Use, reply: str) -> str:
    """What to add to the user's rules."""
    return f"+{use.command[0]}".lower() if "to run" in reply else use.pattern


def _lacking(rules: Sequence[str]) -> str:
    return (
        f"The user of Redis lacks rights that a worker needs: give it, by ACL SETUSER, {' '.join(rules)}. "
        "The README lists all of them."
    )


# `@` stands for the key. Should MULTI be refused, they are run: then each does nothing that counts, or is an error.
_OF_A_JOB: Final = {
    "events": (
        "XADD @ NOMKSTREAM 1-1 type check",
        "XRANGE @ - + COUNT 1",
        "XREVRANGE @ + - COUNT 1",
        "EXISTS @",
        "PEXPIRE @ 1",
    ),
    "record": ("HSET @ check 1", "HGET @ check", "HMGET @ check", "HGETALL @", "PEXPIRE @ 1"),
    "cancel": ("GET @", "MGET @", "PEXPIRE @ 1"),
    "regenerated": ("PEXPIRE @ 1",),
}
_OF_A_QUEUE: Final = {
    "queue": ("ZADD @ XX 0 check", "ZREM @ check", "ZRANGE @ 0 0", "ZRANGEBYSCORE @ -inf -inf", "ZMSCORE @ check"),
    "running": ("ZADD @ XX 0 check", "ZREM @ check", "ZRANGE @ 0 0", "ZRANGEBYSCORE @ -inf -inf"),
    "doorbell": ("LLEN @", "LPUSH @ 1", "PEXPIRE @ 60000", "BLPOP @ -1"),
}


def _uses(keys: Keys, queues: Sequence[str], job_id: str) -> Iterator[_Use]:
    """All commands of a worker, each with all shapes of keys that it is used on."""
    for name, forms in _OF_A_JOB.items():
        yield from _each(forms, getattr(keys, name)(job_id), getattr(keys, name)("*"))
    for queue in queues:
        for name, forms in _OF_A_QUEUE.items():
            key = getattr(keys, name)(queue)
            yield from _each(forms, key, key)
        names = (keys.history, keys.queue(queue), keys.running(queue), keys.doorbell(queue))
        yield _Use(("EVAL", "return 0", str(len(names)), *names), f"~{keys.queue(queue)}*")
        # arq's worker takes away at its end what only its own loop would have set.
        yield from _each(("DEL @",), f"{keys.queue(queue)}:health-check", f"{keys.queue(queue)}:health-check")
    yield _Use(("PUBLISH", keys.bell(job_id), ""), f"&{keys.bell('*')}")
    yield from _each(
        ("SET @ 1 PX 1 NX", "PEXPIRE @ 1 GT", "PTTL @"), keys.throttle(job_id, "m"), keys.throttle("*", "*")
    )
    idempotency = keys.idempotency("check", job_id)
    yield from _each(("PEXPIRE @ 1",), idempotency, f"{keys.prefix}:idempotency:*")
    yield from _each(("XADD @ NOMKSTREAM 0-1 f v", "PEXPIRE @ 604800000"), keys.endings, keys.endings)
    yield from _each(("ZADD @ XX 0 check", "PEXPIRE @ 604800000"), keys.queues, keys.queues)
    yield from _each(("GET @", "SET @ 1 PX 1 NX", "PEXPIRE @ 604800000"), keys.history, keys.history)
    workers = ("ZADD @ XX 0 check", "ZREM @ check", "ZREMRANGEBYSCORE @ -inf -inf", "ZRANGE @ 0 0", "PEXPIRE @ 3600000")
    yield from _each(workers, keys.workers, keys.workers)
    yield from _each(("SET @ {} PX 1", "GET @", "PTTL @", "UNLINK @"), keys.worker(job_id), keys.worker("*"))
    yield from _each(("SET @ 1 PX 1", "GET @", "MGET @", "DEL @"), arq_in_progress(job_id), arq_in_progress("*"))
    yield from _each(("GET @", "SET @ 1 PX 1 NX", "DEL @"), arq_job(job_id), arq_job("*"))
    retry = ("GET @", "INCR @", "INCRBY @ 1", "EXPIRE @ 1", "SET @ 1 EX 1", "SETEX @ 1 1", "DEL @")
    yield from _each(retry, arq_retry(job_id), arq_retry("*"))
    yield from _each(("DEL @",), arq_result(job_id), arq_result("*"))
    yield _Use(("TIME",), "")


def _each(forms: Sequence[str], key: str, pattern: str) -> Iterator[_Use]:
    for form in forms:
        yield _Use(tuple(key if word == "@" else word for word in form.split()), f"~{pattern}")
