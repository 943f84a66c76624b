"""Every recorded stream, as the encoders show it to clients."""

import pytest

from tailrace.encoders import AiSdkEncoder, SdkVersion, SseEncoder
from tailrace.events import Completed, Event, Queued, Started
from tailrace_worker.providers.base import Finish, TokenCounts
from tests.recorded.replay import Transcript, needed, transcripts
from tests.support import wire
from tests.support.job_streams import JOB, with_ids
from tests.support.node import SdkClients
from tests.support.ui_message import agree_with_answer, ui_message

needed()

whole_ones = pytest.mark.parametrize(
    "transcript", [each for each in transcripts() if "error" not in each.name], ids=str
)
versions = pytest.mark.parametrize("version", [6, 7])


async def events_of(transcript: Transcript) -> list[Event]:
    """The events of a job to which a provider gave this answer."""
    events: list[Event] = [Started(at=1, attempt=1, provider=transcript.kind, model="m", worker="w:1")]
    for piece in await wire.read(transcript.kind, transcript.body()):
        match piece:
            case TokenCounts():
                pass
            case Finish():
                events.append(Completed(at=2, finish_reason=piece.reason))
            case _:
                events.append(piece)
    return [Queued(at=0, queue="default"), *with_ids(events, first=2)]


@whole_ones
@versions
async def test_the_message_says_what_the_answer_says(transcript: Transcript, version: SdkVersion) -> None:
    events = await events_of(transcript)
    encoder = AiSdkEncoder(JOB, sdk_version=version)
    agree_with_answer(ui_message(b"".join(map(encoder.encode, events))), events)


@whole_ones
@versions
async def test_the_sdks_own_client_reads_it_to_the_end(
    transcript: Transcript, version: SdkVersion, sdk_clients: SdkClients
) -> None:
    encoder = AiSdkEncoder(JOB, sdk_version=version)
    stream = b"".join([encoder.encode(event) for event in await events_of(transcript)])
    read, meant = sdk_clients.read(stream, sdk=version), ui_message(stream)
    assert read.problems == []
    parts = [part for part in read.message["parts"] if part["type"] in {"text", "reasoning"}]
    assert [(part["type"], part["text"], part["state"]) for part in parts] == [
        (part["type"], part["text"], "done") for part in meant.parts if part["type"] in {"text", "reasoning"}
    ]
    assert [part["input"] for part in read.message["parts"] if part["type"].startswith("tool-")] == [
        part["input"] for part in meant.of("tool")
    ]


@whole_ones
async def test_a_resume_after_any_event_gives_exactly_the_rest(transcript: Transcript) -> None:
    events = await events_of(transcript)
    full = b"".join(map(SseEncoder().encode, events))
    for seen in range(0, len(events), max(1, len(events) // 20)):
        assert full.endswith(b"".join(map(SseEncoder().encode, events[seen:])))
