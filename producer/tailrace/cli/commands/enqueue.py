"""`tailrace enqueue`: enqueues a job."""

import argparse
import sys
from pathlib import Path
from typing import BinaryIO, Final

from pydantic import ValidationError

from tailrace import GenerationRequest, InvalidRequest, RequestTooLarge, Settings, Tailrace
from tailrace.api_kinds import API_KINDS
from tailrace.cli import event_loop
from tailrace.cli.commands.tail import follow
from tailrace.cli.display.json_lines import print_json
from tailrace.cli.image import image_part
from tailrace.cli.options import add_if_active, add_json, add_redis_url
from tailrace.request.any_request import AnyRequest, read_request
from tailrace.request.validation import described

SUMMARY = "enqueue a job for a prompt, and print its id"

_NO_PROMPT: Final = "There is no prompt: give it as an argument, with --file, or on stdin."
_REQUEST_OPTIONS: Final = ("provider", "model", "system", "max_output_tokens", "temperature")
"""The options that make up a request. With `--request` they are not allowed, because the file has all of it."""


class _Suggested(tuple[str, ...]):
    """Choices that a shell completes. Other values are allowed too, because workers may have providers of their own."""

    __slots__ = ()

    def __contains__(self, _: object) -> bool:
        return True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the request and the options of the job."""
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("prompt", metavar="PROMPT", nargs="?", help="the prompt; '-' or none reads it from stdin")
    file = prompt.add_argument("--file", type=Path, help="read the prompt from a file in UTF-8")
    request = prompt.add_argument(
        "--request",
        metavar="FILE.json",
        help="read the whole request, a GenerationRequest or a VerbatimRequest as JSON, from a file; '-' reads it from "
        "stdin",
    )
    image = parser.add_argument(
        "--image",
        dest="images",
        metavar="PATH_OR_URL",
        action="append",
        default=[],
        help="an image to go with the prompt: a file, or a URL that the provider fetches; may be repeated",
    )
    for path in (file, request, image):
        # shtab reads this attribute, which the classes of argparse do not declare.
        setattr(path, "complete", "file")  # noqa: B010
    parser.add_argument(
        "--provider",
        metavar="NAME",
        choices=_Suggested(API_KINDS),
        help=f"the provider: {', '.join(API_KINDS)}, or a name from the workers' TAILRACE_PROVIDERS",
    )
    parser.add_argument("--model", metavar="NAME", help="the model, by the provider's name for it")
    parser.add_argument("--system", metavar="TEXT", help="a system message before the prompt")
    parser.add_argument("--max-output-tokens", metavar="N", type=int, help="the limit of the answer in tokens")
    parser.add_argument("--temperature", metavar="T", type=float, help="the temperature, 0 to 2")
    parser.add_argument("--tenant", default="default", help="the tenant that the job runs for (default: %(default)s)")
    parser.add_argument("--queue", default="default", help="the queue to put the job into (default: %(default)s)")
    parser.add_argument(
        "--idempotency-key",
        metavar="KEY",
        help="if the tenant has already enqueued a job under this key, print that job's id instead",
    )
    parser.add_argument(
        "--defer-seconds", metavar="S", type=float, default=0, help="start the job no earlier than S seconds from now"
    )
    parser.add_argument(
        "--conversation", metavar="ID", help="the conversation of the job, which has one active job at a time"
    )
    add_if_active(parser)
    parser.add_argument(
        "--label",
        dest="labels",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a label, which 'tailrace list' and 'tailrace status' show; may be repeated",
    )
    parser.add_argument("--wait", action="store_true", help="show the answer as it grows, as 'tailrace tail' does")
    add_json(parser, "the id as JSON; with --wait, each event too")
    add_redis_url(parser)
    parser.epilog = 'example: %(prog)s "Why tails?" --provider openai --model gpt-5 --wait'


def run(arguments: argparse.Namespace) -> int:
    """Return 0 after the job is enqueued; with `--wait` the exit code of `tailrace tail`."""
    request = _request_of_arguments(arguments) if arguments.request is None else _request_of_file(arguments)
    return event_loop.run(_enqueue(arguments, request))


def _request_of_arguments(arguments: argparse.Namespace) -> GenerationRequest:
    missing = [f"--{name}" for name in ("provider", "model") if getattr(arguments, name) is None]
    if missing:
        raise InvalidRequest(f"{' and '.join(missing)}: required, unless --request is given.")
    prompt = _read_prompt(arguments)
    if not prompt:
        raise InvalidRequest("The prompt is empty: give the text that the model is to answer.")
    images = [image_part(image) for image in arguments.images]
    content = [*images, {"type": "text", "text": prompt}] if images else prompt
    system = [{"role": "system", "content": arguments.system}] if arguments.system else []
    try:
        return GenerationRequest.model_validate(
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


def _request_of_file(arguments: argparse.Namespace) -> AnyRequest:
    extra = [f"--{name.replace('_', '-')}" for name in _REQUEST_OPTIONS if getattr(arguments, name) is not None]
    extra += ["--image"] * bool(arguments.images)
    if extra:
        raise InvalidRequest(
            f"{', '.join(extra)}: not allowed with --request, whose file has the whole request: put it into the file."
        )
    encoded = _read_stdin() if arguments.request == "-" else _read_file(Path(arguments.request), "--request")
    return read_request(encoded)


async def _enqueue(arguments: argparse.Namespace, request: AnyRequest) -> int:
    async with Tailrace.connect(arguments.redis_url) as tailrace:
        job = await tailrace.enqueue(
            request,
            tenant=arguments.tenant,
            queue=arguments.queue,
            idempotency_key=arguments.idempotency_key,
            conversation=arguments.conversation,
            if_active=arguments.if_active,
            labels=dict(map(_label, arguments.labels)),
            defer_seconds=arguments.defer_seconds,
        )
        if arguments.json:
            print_json(job_id=job.id)
        else:
            print(job.id, file=sys.stderr if arguments.wait else sys.stdout, flush=True)
        return await follow(job, arguments) if arguments.wait else 0


def _label(written: str) -> tuple[str, str]:
    name, is_one, value = written.partition("=")
    if not is_one:
        raise InvalidRequest(f"--label: {written!r} has no value. Write NAME=VALUE.")
    return name, value


def _read_prompt(arguments: argparse.Namespace) -> str:
    if arguments.file is not None:
        return _read_file(arguments.file, "--file")
    if arguments.prompt not in (None, "-"):
        return str(arguments.prompt)
    if arguments.prompt is None and sys.stdin is not None and sys.stdin.isatty():
        raise InvalidRequest(_NO_PROMPT)
    return _read_stdin()


def _read_stdin() -> str:
    # Python has no stdin if it was closed.
    if sys.stdin is None:
        raise InvalidRequest(_NO_PROMPT)
    return _read(sys.stdin.buffer)


def _read_file(path: Path, option: str) -> str:
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise InvalidRequest(f"{option}: '{path}' cannot be read: {error.strerror}.") from None


def _read(file: BinaryIO) -> str:
    limit = Settings.read().max_request_bytes
    # One byte more than the limit shows that it is exceeded. The whole is not read, because the file may be endless.
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
            f"The prompt is not UTF-8 at byte {error.start:,}: convert it, for example with iconv."
        ) from None
