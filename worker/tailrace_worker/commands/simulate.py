"""`tailrace simulate`: serves the providers' wire protocols on this machine."""

import argparse
import asyncio
import signal

from tailrace.cli.options import add_port

SUMMARY = "serve simulated OpenAI and Anthropic APIs"

_EPILOG = """\
Options for the answer follow a `?` in the model's name, or are in the header
x-tailrace-simulate:
  pieces=20            number of pieces of text
  text=...             the text; each piece is a word of it
  blocks=1             number of blocks that the pieces are divided into
  first_token_ms=0     silence before the first piece
  interval_ms=20       time between two pieces; 0 sends all at once
  refusal=1            the pieces are a refusal of the model
  reasoning=N          number of pieces of reasoning before the text
  tools=N              number of parallel tool calls after the text
  tool_loop=1          tools are called only if the request names some, and
                       their results are answered with their texts
  search=...           the provider searches the web for this
  unknown=1            events of unknown types come between the others
  finish=stop          the reason for the end of the answer
  usage=after          before, after or with the last chunk of Chat
  cached_tokens=N      the number of them in the usage
  reasoning_tokens=N   the number of them in the usage
  split=B              the body is sent in chunks of B bytes
  crlf=1               lines end with CR LF
  status=429           an error with this status instead of an answer
  retry_after=1        the seconds in the retry-after header of a 429
  retry_after_date=1   the same, but the header has a date
One of these makes the answer fail after N pieces of any kind:
  cut_after=N          the connection is reset
  stall_after=N        nothing more is sent, and the connection stays open
  close_after=N        the body ends without its last event
  malformed_after=N    the JSON of the next piece is cut in half
  error_after=N        an error event of the provider's protocol
  error_shape=nested   or flat or failed: the forms of Responses
  error_code=...       the code of that event, or of an error status
  times=N              only the first N requests with this very model string
                       fail
An answer that is not streamed takes the same time, and has the same faults as
far as possible. With Messages, the answer continues a last message of the
assistant if that is the beginning of the text.
POST /v1/moderations flags text that contains `flag:violence`, or another
category. The options in its model's name are:
  flag=...             text that contains this is flagged too
  delay_ms=0           silence before the verdict
  status=503           an error with this status instead of a verdict
GET /journal returns the requests so far, DELETE /journal clears them, and GET
/health answers when the simulator is ready.

example: %(prog)s --port 4080
         tailrace enqueue --provider openai --model 'demo?cut_after=5' "Hi"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    add_port(parser, default=4080)
    parser.epilog = _EPILOG


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM.

    Args:
        arguments: The parsed options.

    Returns:
        The exit code: 0.

    Raises:
        InfrastructureError: The simulator cannot listen on the address.
    """
    import uvloop  # noqa: PLC0415  # Not needed for --help.

    from tailrace_worker.simulator import Simulator  # noqa: PLC0415

    async def serve() -> None:
        stop = asyncio.Event()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
        async with Simulator(host=arguments.host, port=arguments.port) as simulator:
            print(f"simulator on {simulator.url}", flush=True)
            await stop.wait()

    uvloop.run(serve())
    return 0
