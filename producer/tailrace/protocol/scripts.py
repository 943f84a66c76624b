"""The Lua scripts that Redis runs, each in a file under `lua/`, which is read when the script is first used.

The folder of a file names the side whose keys it touches: `lua/job/` the keys of one job, `lua/queue/` those of the
queues and of arq. No script touches both, so that the streams may live on a Redis Cluster.

Each file begins with a comment on what the script does, its KEYS, its ARGV and its reply. This comment is not sent:
the source goes along with every call, and Redis keeps it compiled by its digest.

What several scripts share stands in files of its own. Their code is joined in front of the script's: they define local
variables and functions, and say in their comments which.
"""

from collections.abc import Sequence
from enum import Enum
from functools import cache, cached_property
from importlib.resources import files
from itertools import dropwhile
from typing import Final, Literal, TypeAlias

from tailrace.broker.client import Argument, Command

Side: TypeAlias = Literal["job", "queue"]

_HISTORY: Final = "history"
_RING: Final = "queue/ring"
_LAST_ENTRY: Final = "job/last_entry"


class Script(Enum):
    """The scripts by name. The value names the files that are joined; the last one is the script itself."""

    CREATE = (_HISTORY, "job/create")
    BEGIN = (_HISTORY, _LAST_ENTRY, "job/begin")
    CANCEL = (_HISTORY, _LAST_ENTRY, "job/cancel")
    END = (_HISTORY, _LAST_ENTRY, "job/end")
    RESTORE = ("job/restore",)
    LINK_REGENERATED = ("job/link_regenerated",)

    ENQUEUE = (_RING, _HISTORY, "queue/enqueue")
    ADMIT = ("queue/admit",)
    CLAIM = (_RING, _HISTORY, "queue/claim")
    RENEW = (_HISTORY, "queue/renew")
    ASSERT_CLAIM = ("queue/assert_claim",)
    NEXT_ATTEMPT = ("queue/next_attempt",)
    RELEASE = (_RING, _HISTORY, "queue/release")
    UNCLAIM = (_RING, "queue/unclaim")
    DEPTHS = ("queue/depths",)
    REMOVE_IDLE_CONSUMERS = ("queue/remove_idle_consumers",)

    @property
    def side(self) -> Side:
        """Whose keys the script touches: those of one job, or those of the queue's side."""
        return "job" if self.value[-1].startswith("job/") else "queue"

    @cached_property
    def source(self) -> str:
        """The Lua that Redis runs."""
        return "".join(map(_code, self.value))

    def command(self, keys: Sequence[str], *arguments: Argument) -> Command:
        """Return the command that runs the script.

        Args:
            keys: What the script's file calls KEYS, all of the script's side.
            arguments: What it calls ARGV.
        """
        return ("EVAL", self.source, len(keys), *keys, *arguments)


@cache
def _code(name: str) -> str:
    """The Lua of a file, without the comment that the file begins with."""
    written = files("tailrace.protocol").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return "".join(dropwhile(lambda line: line.startswith("--"), written.splitlines(keepends=True)))
