"""Checks whether a worker can work with this Redis, by trying each command that a worker uses on the keys it uses.

The commands are queued in a transaction that is then discarded. Redis checks the rights, the number of arguments and
whether it takes writes when it queues a command. So every command is tried on the real keys, and none is run.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from redis.asyncio import Redis

from tailrace.broker.wire import Wire, packed
from tailrace.errors import BrokerRefused, BrokerUnavailable
from tailrace.protocol.keys import Keys, new_job_id
from tailrace_worker.queueing.redis_uses import RedisUse, redis_uses

_logger = logging.getLogger(__name__)

PROCESS_WARNINGS: Final[set[str]] = set()
"""The warnings that this process has logged already. A test begins without those of another."""
_NEEDED: Final = "A worker needs Redis 7.0 or newer, or Valkey, with no command renamed."
_TRANSACTION: Final = ("+ping", "+multi", "+exec")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisCheckLimits:
    """How often Redis is checked, and which version is needed."""

    check_seconds: float = 15.0
    """How often to check whether Redis still allows all commands."""
    refused_seconds: float = 1.0
    """How often to check again after Redis has refused a command."""
    oldest: tuple[int, int] = (7, 0)
    """The oldest version that works: `PEXPIRE GT` came with Redis 7.0."""


class RedisUnfit(BrokerRefused):
    """Redis refuses a command that a worker needs, and will refuse it until someone changes the server or its ACL."""


class RedisCheck:
    """The repeated check of Redis for one worker. Rights may be revoked while a connection is open."""

    def __init__(
        self, redis: Redis, keys: Keys, queues: Sequence[str], *, limits: RedisCheckLimits | None = None
    ) -> None:
        """Prepare the check. It has passed until `review` fails.

        Args:
            redis: The client whose connection settings are used.
            keys: The keys of Redis.
            queues: The names of the worker's queues.
            limits: The intervals and the oldest version; `None` for the defaults.
        """
        self._wire = Wire(redis)
        self._uses = list(redis_uses(keys, queues, new_job_id()))
        self._bell, self._bells = keys.bell(new_job_id()), f"&{keys.bell('*')}"
        self._limits = limits or RedisCheckLimits()
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
        """Wait until the last check has passed."""
        await self._passed.wait()

    async def check(self) -> None:
        """Check everything, and log a warning, once per process, about each setting that endangers jobs.

        Raises:
            RedisUnfit: Redis lacks something that a worker needs. The message lists all missing rights as ACL rules.
            BrokerRefused: Redis refuses the connection, or takes no writes now.
            BrokerUnavailable: Redis cannot be reached.
        """
        async with self._lock:
            await self._wire.connect()
            await self._try_transaction()
            await self._try_all()
            warnings = [*await self._state(), *await self._subscribing()]
        for warning in warnings:
            if warning not in PROCESS_WARNINGS:
                PROCESS_WARNINGS.add(warning)
                _logger.warning("%s", warning)

    async def review(self) -> bool:
        """Try the commands again, and log it if the result has changed.

        Returns:
            True if the worker may go on.
        """
        try:
            async with self._lock:
                if not self._wire.is_connected:
                    await self._wire.connect()
                await self._try_all()
        except RedisUnfit as unfit:
            if self._passed.is_set():
                _logger.error("no jobs are claimed until this is fixed: %s", unfit)  # noqa: TRY400  # Not a defect.
            self._passed.clear()
        except (BrokerUnavailable, BrokerRefused) as error:
            # This error passes by itself, and says nothing about rights.
            _logger.debug("the rights of the Redis user cannot be checked: %s", error)
        else:
            if not self._passed.is_set():
                _logger.info("jobs are claimed again: Redis allows all commands that a worker needs")
            self._passed.set()
        return self._passed.is_set()

    async def run(self) -> None:
        """Review again and again until the task is cancelled."""
        limits = self._limits
        while True:
            await asyncio.sleep(limits.check_seconds if self._passed.is_set() else limits.refused_seconds)
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
            # DISCARD may not be allowed. To close the connection discards the transaction too.
            await self._wire.connect()
        refused = [(use, reply) for use, reply in zip(self._uses, replies, strict=True) if isinstance(reply, Exception)]
        if rules := {_rule(use, str(reply)): None for use, reply in refused if _is_right(reply)}:
            raise RedisUnfit(_lacking(list(rules)))
        for use, reply in refused:
            if _is_unknown(reply):
                raise RedisUnfit(f"Redis lacks {use.command[0]}, or one of its options ({reply}). {_NEEDED}")
            raise BrokerRefused(f"Redis refuses {use.command[0]}: {reply}")

    async def _state(self) -> list[str]:
        """Return warnings about the server's settings. Raise `RedisUnfit` if the server is too old."""
        (reply,) = await self._exchange(("INFO",))
        if isinstance(reply, Exception):
            _logger.debug("version, eviction policy and append-only file are not checked: %s", reply)
            return []
        info = dict(line.split(":", 1) for line in reply.decode(errors="replace").splitlines() if ":" in line)
        version = info.get("redis_version", "")
        with suppress(ValueError):  # Another server that speaks the protocol may have a version without numbers.
            if tuple(map(int, version.split(".")[:2])) < self._limits.oldest:
                raise RedisUnfit(f"Redis {version} is too old. {_NEEDED}")
        warnings: list[str] = []
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            warnings.append(
                f"Redis may evict jobs when its memory is full, because of its maxmemory-policy {policy}: "
                "set it to noeviction, so that enqueue raises an error instead."
            )
        if info.get("aof_enabled") == "0":
            warnings.append(
                "Redis keeps no append-only file: a restart loses all jobs since its last snapshot. Set appendonly yes."
            )
        return warnings

    async def _subscribing(self) -> list[str]:
        """Return a warning if the worker's user may not subscribe: services that tail jobs may share this user."""
        (reply,) = await self._exchange(("SUBSCRIBE", self._bell))
        if not isinstance(reply, Exception):
            (left,) = await self._exchange(("UNSUBSCRIBE", self._bell))
            if isinstance(left, Exception):
                await self._wire.disconnect()
            return []
        rule = _rule(RedisUse(("SUBSCRIBE",), self._bells), str(reply))
        return [f"The Redis user of this worker cannot tail jobs, because it lacks {rule}: services need another user."]

    async def _exchange(self, *commands: tuple[str, ...]) -> list[Any]:
        return await self._wire.exchange(b"".join(packed(*command) for command in commands), len(commands))


def _is_right(reply: object) -> bool:
    return isinstance(reply, Exception) and "permission" in str(reply).lower()


def _is_unknown(reply: Exception) -> bool:
    return any(words in str(reply) for words in ("unknown command", "wrong number of arguments"))


def _rule(use: RedisUse, reply: str) -> str:
    """Return the ACL rule that the user lacks."""
    return f"+{use.command[0]}".lower() if "to run" in reply else use.pattern


def _lacking(rules: Sequence[str]) -> str:
    return (
        f"The Redis user lacks rights that a worker needs: add {' '.join(rules)} with ACL SETUSER. "
        'The guide "Workers and deployment" lists all rights.'
    )
