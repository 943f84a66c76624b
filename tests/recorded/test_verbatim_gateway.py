"""Every recorded stream, through a worker and the gateway: its frames as they are, or the protocol's error."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

import httpx
import pytest

from tailrace import Settings, Tailrace
from tailrace.api_kinds import ApiKind
from tailrace.gateway import create_app
from tests.recorded.replay import Replay, Transcript, needed, transcripts
from tests.support.gateways import ServedGateway, gateway_settings, served
from tests.support.processes import worker_process

needed()

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

PATHS: Final[dict[ApiKind, str]] = {
    "openai": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "anthropic": "/v1/messages",
}
QUICK: Final = {"TAILRACE_LEASE_SECONDS": "1"}
"""A lost worker's jobs go on soon."""
EVERY: Final = transcripts()


class Frame(NamedTuple):
    """What a client reads of one server-sent event."""

    name: bytes
    data: bytes


class Reader:
    """A client that reads the stream of an answer."""

    def __init__(self, transcript: Transcript, *, options: str = "") -> None:
        self.transcript = transcript
        self.model = f"{transcript.name}{options}"
        self.middle = middle_of(transcript)
        self.has_middle = asyncio.Event()
        """Set once it has the first half of the frames."""
        self.frames: list[Frame] = []

    async def read(self, url: str, prefix: str = "") -> None:
        """Reads the stream to its end."""
        kind, rest = self.transcript.kind, b""
        given = {"input": "Hi"} if kind == "openai-responses" else {"messages": [{"role": "user", "content": "Hi"}]}
        body = {"model": f"{prefix}{self.model}", "max_tokens": 9, "stream": True, **given}
        async with (
            httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as client,
            client.stream("POST", PATHS[kind], json=body) as response,
        ):
            assert response.status_code == 200, await response.aread()
            async for chunk in response.aiter_bytes():
                *blocks, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
                self.frames += [frame for block in blocks if (frame := frame_of(block))]
                if len(self.frames) >= self.middle:
                    self.has_middle.set()


def middle_of(transcript: Transcript) -> int:
    """Half of the frames of a stream, but enough for the first ones, which wait for content, to be passed on."""
    return max(transcript.events // 2, 2 if transcript.kind == "openai" else 4)


def frame_of(block: bytes) -> Frame | None:
    """A server-sent event, as the standard says; `None` for one without data, such as a comment."""
    fields = [line.partition(b": ") for line in block.split(b"\n") if not line.startswith(b":")]
    if not (data := [value for name, _, value in fields if name == b"data"]):
        return None
    return Frame(b"".join(value for name, _, value in fields if name == b"event"), b"\n".join(data))


@pytest.fixture
async def gateway(settings: Settings, tailrace: Tailrace) -> AsyncIterator[ServedGateway]:
    """A gateway whose jobs are cancelled as soon as nobody can read them."""
    async with served(create_app(tailrace, gateway_settings(settings, gateway_leave_seconds=0))) as gateway:
        yield gateway


async def sent_by(replay: Replay) -> list[list[Frame]]:
    """The frames that a client gets from the provider itself."""
    readers = [Reader(each) for each in EVERY]
    await asyncio.gather(*(reader.read(replay.url) for reader in readers))
    return [reader.frames for reader in readers]


def begin(gateway: ServedGateway, readers: Sequence[Reader]) -> list[asyncio.Task[None]]:
    """Asks the gateway for every answer at the same time."""
    return [asyncio.create_task(each.read(gateway.url, f"{each.transcript.kind}/")) for each in readers]


@pytest.mark.parametrize("options", ["", "?crlf=1&split=700"])
async def test_a_client_gets_the_frames_of_the_provider(
    gateway: ServedGateway, settings: Settings, replay: Replay, options: str
) -> None:
    readers = [Reader(each, options=options) for each in EVERY]
    async with worker_process(settings, replay, **QUICK):
        await asyncio.gather(*begin(gateway, readers))
    for reader, sent in zip(readers, await sent_by(replay), strict=True):
        assert reader.frames == sent, reader.transcript


async def test_a_worker_that_dies_in_the_middle_leaves_the_error_of_the_protocol(
    gateway: ServedGateway, settings: Settings, replay: Replay
) -> None:
    readers = [Reader(each, options=f"?stall={middle_of(each)}&id=middle") for each in EVERY]
    async with worker_process(settings, replay, **QUICK) as worker:
        reading = begin(gateway, readers)
        async with asyncio.timeout(120):
            await asyncio.gather(*(reader.has_middle.wait() for reader in readers))
        worker.signal(signal.SIGKILL)
        async with worker_process(settings, replay, **QUICK):
            await asyncio.gather(*reading)
    for reader, sent in zip(readers, await sent_by(replay), strict=True):
        assert reader.frames[: reader.middle] == sent[: reader.middle], reader.transcript
        if reader.middle < len(sent):
            check_error(reader.frames[reader.middle :], reader.transcript.kind)


async def test_a_worker_that_dies_before_the_first_frame_leaves_a_whole_answer(
    gateway: ServedGateway, settings: Settings, replay: Replay
) -> None:
    readers = [Reader(each, options="?ttft=5000&id=before") for each in EVERY]
    async with worker_process(settings, replay, **QUICK) as worker:
        reading = begin(gateway, readers)
        for reader in readers:
            await replay.asked(reader.model)
        worker.signal(signal.SIGKILL)
        async with worker_process(settings, replay, **QUICK):
            await asyncio.gather(*reading)
    for reader, sent in zip(readers, await sent_by(replay), strict=True):
        pairs = zip(reader.frames, sent, strict=False)
        shared = next((at for at, (ours, theirs) in enumerate(pairs) if ours != theirs), len(sent))
        # On a slow machine some frames come before the worker is killed.
        if shared < len(sent):
            check_error(reader.frames[shared:], reader.transcript.kind)
        else:
            assert reader.frames == sent, reader.transcript


def check_error(frames: Sequence[Frame], kind: ApiKind) -> None:
    """What follows the frames of a provider if another attempt begins."""
    error, rest = json.loads(frames[0].data), [frame.data for frame in frames[1:]]
    match kind:
        case "openai":
            assert (error["error"]["code"], rest) == ("answer_restarted", [b"[DONE]"])
        case "openai-responses":
            assert (error["type"], error["code"], rest) == ("error", "answer_restarted", [b"[DONE]"])
        case "anthropic":
            assert (frames[0].name, error["error"]["type"], rest) == (b"error", "api_error", [])
