"""The Lua scripts that Redis runs, each in a file under `lua/`, which is read when the script is first used.

The folder of a file names the side whose keys it touches: `lua/job/` the keys of one job, `lua/queue/` those of the
queues and of arq. No script touches both, so that the streams may live on a Redis Cluster.

Each file begins with a comment on what the script does, its KEYS, its ARGV and its reply. This comment is not sent to
Redis, because every call carries the source. Redis keeps the compiled script by the digest of its source.

Code that several scripts share has files of its own: `lua/history.lua`, `lua/queue/ring.lua`, `lua/queue/index.lua` and
`lua/job/last_entry.lua`. It is put in front of the script, and defines the local variables and functions that its
comment names. It removes its own arguments from the front of ARGV, so that the script's own ARGV begins at 1.
"""

from collections.abc import Sequence
from enum import Enum
from functools import cache, cached_property
from itertools import dropwhile
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from tailrace.broker.client import Argument, Command, ms
from tailrace.protocol.history import UNKNOWN
from tailrace.protocol.keys import arq_in_progress, arq_job

Side: TypeAlias = Literal["job", "queue"]

_MAX_RINGS: Final = 64
_RING_LIFE_SECONDS: Final = 60.0
_ATTEMPTS_SKIPPED: Final = 1_000
"""How many attempt numbers a caller that does not run the job skips when it appends an ending: Redis may have lost
starts of attempts."""
_ATTEMPTS_SKIPPED_IN_ANOTHER_HISTORY: Final = 2**32
"""The same after a restart or a failover of Redis: a lost start may have had a random number (see `attempts.py`)."""


class Shared(NamedTuple):
    """Code that scripts share."""

    file: str
    """Its path under `lua/`, without the suffix."""
    arguments: tuple[Argument, ...]
    """What it takes from the front of ARGV."""


HISTORY: Final = Shared("history", (UNKNOWN,))
RING: Final = Shared("queue/ring", (_MAX_RINGS, ms(_RING_LIFE_SECONDS)))
INDEX: Final = Shared("queue/index", (arq_job(""), arq_in_progress("")))
LAST_ENTRY: Final = Shared("job/last_entry", (_ATTEMPTS_SKIPPED, _ATTEMPTS_SKIPPED_IN_ANOTHER_HISTORY))


class Script(Enum):
    """The scripts by name: the file of each, and the shared code in front of it."""

    CREATE = ("job/create", HISTORY)
    BEGIN = ("job/begin", HISTORY, LAST_ENTRY)
    CANCEL = ("job/cancel", HISTORY, LAST_ENTRY)
    END = ("job/end", HISTORY, LAST_ENTRY)
    RESTORE = ("job/restore",)
    LINK_REGENERATED = ("job/link_regenerated",)

    ENQUEUE = ("queue/enqueue", RING, HISTORY, INDEX)
    ADMIT = ("queue/admit",)
    RETRACT = ("queue/retract",)
    END_TURN = ("queue/end_turn", INDEX)
    CLAIM = ("queue/claim", RING, HISTORY)
    RENEW = ("queue/renew", HISTORY)
    ASSERT_CLAIM = ("queue/assert_claim", INDEX)
    NEXT_ATTEMPT = ("queue/next_attempt",)
    RELEASE = ("queue/release", RING, HISTORY)
    UNCLAIM = ("queue/unclaim", RING)
    DEPTHS = ("queue/depths",)
    RESERVE_PLACE = ("queue/reserve_place", INDEX)
    SETTLE_PLACE = ("queue/settle_place",)
    REMOVE_IDLE_CONSUMERS = ("queue/remove_idle_consumers",)

    def __init__(self, file: str, *shared: Shared) -> None:
        self.file = file
        self.shared = shared
        self._shared_arguments = tuple(argument for each in shared for argument in each.arguments)

    @property
    def side(self) -> Side:
        """The side whose keys the script touches: those of one job, or those of the queues and of arq."""
        return cast("Side", self.file.partition("/")[0])

    @cached_property
    def source(self) -> str:
        """The Lua that Redis runs."""
        return "".join(_code(file) for file in (*(each.file for each in self.shared), self.file))

    def command(self, keys: Sequence[str], *arguments: Argument) -> Command:
        """Return the command that runs the script.

        Args:
            keys: The KEYS of the script's file, all of the script's side.
            arguments: The ARGV of the script's file.
        """
        return ("EVAL", self.source, len(keys), *keys, *self._shared_arguments, *arguments)


@cache
def _code(file: str) -> str:
    """Read the Lua of a file, without the comment at its beginning."""
    # The import takes some milliseconds, and a service that only tails needs no script.
    from importlib.resources import files  # noqa: PLC0415

    written = files("tailrace.protocol").joinpath("lua", f"{file}.lua").read_text(encoding="utf-8")
    return "".join(dropwhile(lambda line: line.startswith("--"), written.splitlines(keepends=True)))
