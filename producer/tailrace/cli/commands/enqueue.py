"""`tailrace enqueue`: hands a prompt to the workers."""

import argparse
import sys
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from tailrace import GenerationRequest, InvalidRequest, RequestTooLarge, Settings, Tailrace
from tailrace.cli import event_loop
from tailrace.cli.commands.tail import follow
from tailrace.cli.display.json_lines import print_json
from tailrace.cli.image import image_part
from tailrace.cli.options import add_json, add_redis_url
from tailrace.request.capabilities import API_KINDS
from tailrace.request.validation import described

SUMMARY = "hand a prompt to the workers, and print the job's id"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The request, and what becomes of the job."""
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("prompt", metavar="PROMPT", nargs="?", help="the prompt; '-' or none: read from stdin")
    file = prompt.add_argument("--file", type=Path, help="read the prompt from a file in UTF-8")
    image = parser.add_argument(
        "--image",
        dest="images",
        metavar="PATH_OR_URL",
        action="append",
        default=[],
        help="an image to go with the prompt: a file, or a URL that the provider fetches; may be repeated",
    )
    for path in (file, image):
        setattr(path, "complete", "file")  # noqa: B010  # For shtab, which no class of argparse knows.
    parser.add_argument(
        "--provider",
        metavar="NAME",
        required=True,
        help=f"whose model it is: {', '.join(API_KINDS)}, or a name of the workers' TAILRACE_PROVIDERS",
    )
    parser.add_argument("--model", required=True, help="the model, by the provider's own name")
    parser.add_argument("--system", metavar="TEXT", help="a system message, before the prompt")
    parser.add_argument("--max-output-tokens", metavar="N", type=int, help="where the provider stops")
    parser.add_argument("--temperature", metavar="T", type=float, help="0 to 2")
    parser.add_argument("--tenant", default="default", help="on whose behalf (default: %(default)s)")
    parser.add_argument("--queue", default="default", help="the workers' queue (default: %(default)s)")
    parser.add_argument("--idempotency-key", metavar="KEY", help="the second job under a key of a tenant is the first")
    parser.add_argument("--defer-seconds", metavar="S", type=float, default=0, help="when to start, from now on")
    parser.add_argument("--wait", action="store_true", help="show the answer as it grows, as 'tailrace tail' does")
    add_json(parser, "the id as JSON; with --wait, each event too")
    add_redis_url(parser)
    parser.epilog = 'example: %(prog)s "Why tails?" --provider openai --model gpt-5 --wait'


def run(arguments: argparse.Namespace) -> int:
    """Returns 0 when the job is enqueued; with `--wait` what `tailrace tail` returns."""
    prompt = _read_prompt(arguments)
    if not prompt:
        raise InvalidRequest("The prompt is empty: say what the model is to answer.")
    images = [image_part(image) for image in arguments.images]
    content = [*images, {"type": "text", "text": prompt}] if images else prompt
    system = [{"role": "system", "content": arguments.system}] if arguments.system else []
    try:
        request = GenerationRequest.model_validate(
            {
                "provider": arguments.provider,
                "model": arguments.model,
                "messages": [*system, {"role": "user", "content": content}],
                "max_output_tokens": arguments.max_output_tokens,
                "temperature": arguments.temperature,
            }
        )
    except ValidationError as error:
        raise InvalidRequest(described(error)) from None
    return event_loop.run(_enqueue(arguments, request))


async def _enqueue(arguments: argparse.Namespace, request: GenerationRequest) -> int:
    async with Tailrace.connect(arguments.redis_url) as tailrace:
        job = await tailrace.enqueue(
            request,
            tenant=arguments.tenant,
            queue=arguments.queue,
            idempotency_key=arguments.idempotency_key,
            defer_seconds=arguments.defer_seconds,
        )
        if arguments.json:
            print_json(job_id=job.id)
        else:
            print(job.id, file=sys.stderr if arguments.wait else sys.stdout, flush=True)
        return await follow(job, arguments) if arguments.wait else 0


def _read_prompt(arguments: argparse.Namespace) -> str:
    if arguments.file is not None:
        return _read_file(arguments.file)
    if arguments.prompt not in (None, "-"):
        return str(arguments.prompt)
    # Python has no stdin where it was closed.
    if sys.stdin is None or (arguments.prompt is None and sys.stdin.isatty()):
        raise InvalidRequest("There is no prompt: give it as an argument, with --file, or on stdin.")
    return _read(sys.stdin.buffer)


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise InvalidRequest(f"--file: '{path}' cannot be read: {error.strerror}.") from None


def _read(file: BinaryIO) -> str:
    limit = Settings.read().max_request_bytes
    # No more than that: there may be no end of it.
    prompt = file.read(limit + 1)
    if len(prompt) > limit:
        raise RequestTooLarge(
            f"The prompt alone has more than {limit:,} bytes, which is the limit of a request: "
            "shorten it, or raise TAILRACE_MAX_REQUEST_BYTES."
        )
    try:
        return prompt.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"The prompt is not UTF-8 at byte {error.start:,}: convert it, with iconv for one."
        ) from None
