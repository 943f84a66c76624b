"""The history of a Redis server's data, as scripts tell it apart: after a restart or a failover another one begins.

Redis acknowledges writes before they are on a disk or a replica. A restart or a failover may therefore take back what
was acknowledged in the last moments: claims, the `started` of an attempt, whole jobs. The data does not tell; but
nothing can have been lost unless another history has begun. So three things are bound to the history:

- The queue's side knows since when its history lasts. For one lease from then on nothing is claimed that may have been
  claimed before: workers that live assert their claims in that time (`claims.py`).
- A job's record knows in which history the job was enqueued or last begun. The first start in another one takes a
  number that no lost start can have had, so that an id never stands for two entries (`attempts.py`).
- A worker that comes back to another history sends again what it holds, and makes a stream anew that it holds whole
  (`publisher.py`).
"""

from typing import Final

UNKNOWN: Final = "unknown"
"""Without the right to call INFO, all data is of this one history."""


def history_of(info: object) -> str:
    """Return what the scripts call this history, from the reply to `INFO server replication`."""
    if not isinstance(info, bytes):
        return UNKNOWN
    return f"{_field(info, b'run_id:')}:{_field(info, b'master_replid:')}"


def _field(info: bytes, name: bytes) -> str:
    return info.partition(name)[2][:16].strip().decode()
