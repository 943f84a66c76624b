"""How a job that nobody runs gets its ending: a script on the job's own keys."""

from tailrace.broker.client import Broker, ms, text
from tailrace.events import ENDINGS, Ending
from tailrace.protocol.entries import encode
from tailrace.protocol.job_scripts import Gone, Over, job_keys
from tailrace.protocol.keys import Keys
from tailrace.protocol.scripts import Script


async def end_orphan(
    broker: Broker, keys: Keys, job_id: str, ending: Ending, *, keep_seconds: float, queue: str = ""
) -> Over | Gone:
    """Gives a job that its caller does not run its ending, unless it has one: in an attempt far above the last.

    With the queue in which a stock arq client has put it, a stream that is not there is made.
    """
    reply = await broker.call(*Script.END.command(job_keys(keys, job_id), ms(keep_seconds), queue, *encode(ending)))
    if reply[0] == b"gone":
        return Gone()
    return Over(ending=ENDINGS[reply[1].decode()], tenant=text(reply[2]))
