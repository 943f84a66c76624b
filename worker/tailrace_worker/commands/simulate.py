"""`tailrace simulate`: serves the providers' wire protocols on this machine."""

import argparse
import asyncio
import signal

SUMMARY = "serve simulated OpenAI and Anthropic APIs"

_EPILOG = """\
What a request is answered with, its model's name says after a `?`, or else its
header x-tailrace-simulate:
  pieces=20            how many pieces of text
  text=...             what they say, a word a piece
  blocks=1             into how many they are divided
  first_token_ms=0     silence before the first
  interval_ms=20       from one to the next; 0: at once
  refusal=1            they are the model's refusal
  reasoning=N          pieces of it before the text
  tools=N              calls at once after the text
  search=...           the provider searches the web for this
  unknown=1            things unheard of between all these
  finish=stop          why the answer ends
  usage=after          before, after or with Chat's last chunk
  cached_tokens=N      as told in the usage
  reasoning_tokens=N   as told in the usage
  split=B              the body in chunks of so many bytes
  crlf=1               lines end with CR LF
  status=429           this error in place of an answer
  retry_after=1        seconds, told with a 429
  retry_after_date=1   the same as a date
and one of these, after N pieces of all that is said:
  cut_after=N          the connection is reset
  stall_after=N        nothing more comes, and nothing ends
  close_after=N        the body ends without its last words
  malformed_after=N    the next piece's JSON is cut in half
  error_after=N        the provider's own error event
  error_shape=nested   or flat or failed: that of Responses
  error_code=...       of that error, or of the status
  times=N              all that goes wrong, for the first N requests with this
                       model string alone
An answer that is not streamed takes as long, and the same goes wrong with it as
far as it can. Of Messages, a last message of the assistant's is gone on with,
where it is the beginning of the text.
POST /v1/moderations flags text that says `flag:violence`, or so of another
category. What its model's name may say:
  flag=...             text with this is flagged too
  delay_ms=0           silence before the verdict
  status=503           this error in place of a verdict
GET /journal tells what it saw, DELETE /journal forgets it, GET /health answers.

example: %(prog)s --port 4080
         tailrace enqueue --provider openai --model 'demo?cut_after=5' "Hi"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=4080, help="0 takes a free one (default: %(default)s)")
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


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: ports are 0 to 65535")
    return int(text)
