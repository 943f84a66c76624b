"""The history of a Redis server's data: after a restart or a failover another history begins.

Redis acknowledges writes before they are on a disk or a replica. A restart or a failover may therefore lose writes that
were acknowledged shortly before: claims, the `started` of an attempt, whole jobs. The data does not show it, but
nothing can be lost unless another history has begun. Three things therefore depend on the history:

- The queue's side stores when its history began. For one lease from then on, no job is claimed that may have been
  claimed before, so that healthy workers can assert their claims (`claims.py`).
- A job's record stores the history in which the job was enqueued or last started. The first start in another history
  gets a number that no lost start can have had, so that an id never means two entries (`attempts.py`).
- A worker that reconnects to another history sends the entries in its resend buffer again, and creates a lost stream
  again if it has all of its entries (`publisher.py`).
"""

from typing import Final

UNKNOWN: Final = "unknown"
"""The one history of all data if the user lacks the permission to call INFO."""


def history_of(info: object) -> str:
    """Read the name of the history, as the scripts build it.

    Args:
        info: The reply to `INFO server replication`; anything but bytes if Redis refused it.

    Returns:
        The name: the beginnings of the run id and of the replication id.
    """
    if not isinstance(info, bytes):
        return UNKNOWN
    return f"{_field(info, b'run_id:')}:{_field(info, b'master_replid:')}"


def _field(info: bytes, name: bytes) -> str:
    return info.partition(name)[2][:16].strip().decode()
