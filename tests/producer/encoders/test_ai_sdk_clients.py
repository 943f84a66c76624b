"""The AI SDK's own clients, `ai@6` and `ai@7` from npm, read what the encoder writes."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.encoders import KEEP_ALIVE, AiSdkEncoder, SdkVersion
from tailrace.events import Event
from tests.support.job_streams import JOB, job_streams, last_restart, unhurried
from tests.support.node import SdkClients, SdkMessage
from tests.support.ui_message import UiMessage, ui_message

pytestmark = pytest.mark.timeout(300)


def encoded(events: Sequence[Event], version: SdkVersion) -> bytes:
    encoder = AiSdkEncoder(JOB, sdk_version=version)
    return b"".join(encoder.encode(event) for event in events)


@pytest.mark.parametrize("version", [6, 7])
@unhurried
@given(events=job_streams(), data=st.data())
def test_a_client_reads_every_stream_as_it_was_meant(
    sdk_clients: SdkClients, events: list[Event], data: st.DataObject, version: SdkVersion
) -> None:
    begin = data.draw(st.sampled_from([0, last_restart(events)]))
    end = data.draw(st.integers(begin + 1, len(events)) | st.just(len(events)))
    stream = encoded(events[begin:end], version)
    agree(sdk_clients.read(stream, sdk=version), ui_message(stream))


@unhurried
@given(events=job_streams())
def test_a_client_of_version_7_reads_what_is_meant_for_version_6(sdk_clients: SdkClients, events: list[Event]) -> None:
    stream = encoded(events, 6)
    agree(sdk_clients.read(stream, sdk=7), ui_message(stream))


@pytest.mark.parametrize("version", [6, 7])
def test_a_client_skips_comments_and_notes_a_stream_that_broke_off(
    sdk_clients: SdkClients, version: SdkVersion
) -> None:
    read = sdk_clients.read(KEEP_ALIVE + AiSdkEncoder(JOB).broken_off() + KEEP_ALIVE, sdk=version)
    assert [problem.partition(".")[0] for problem in read.problems] == ["The answer cannot be read at the moment"]


def agree(read: SdkMessage, meant: UiMessage) -> None:
    assert read.problems == meant.errors
    assert (read.message["id"], read.message["role"]) == (meant.id, "assistant")
    assert read.message["metadata"] == meant.metadata
    assert [frame["data"] for frame in read.transient] == meant.transient
    # A client shows the beginning of a step only with what follows.
    assert [compared(part) for part in read.message["parts"] if part["type"] != "step-start"] == [
        compared(named(part)) for part in meant.parts if part["type"] != "step-start"
    ]


def named(part: dict[str, Any]) -> dict[str, Any]:
    return {**part, "type": f"tool-{part['toolName']}"} if part["type"] == "tool" else part


def compared(part: dict[str, Any]) -> dict[str, Any]:
    """What both sides know of a part."""
    names = ["type", "id", "text", "state", "providerMetadata", "toolCallId", "errorText", "data"]
    names += ["sourceId", "url", "title", "mediaType"]
    if part["type"] in {"text", "reasoning"}:
        names.remove("id")
    if part.get("state") == "input-available":
        names.append("input")
    known = {name: part[name] for name in names if name in part}
    # In JSON, JavaScript writes a number that is too large as null.
    value: dict[str, Any] = json.loads(json.dumps(known), parse_constant=lambda _: None)
    return value
