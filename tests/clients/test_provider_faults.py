"""Providers that do wrong in the middle of an answer, and what the official SDKs see of it: what the docs declare."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

import anthropic
import openai
import pytest
import pytest_asyncio

from tailrace import Completed, Delta, Failed, Settings, Tailrace
from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.encoders.stream_error import STARTED_AGAIN
from tailrace.gateway import create_app
from tests.support.declared_faults import Declared, DeclaredFault, declared_errors, declared_fault, declared_faults
from tests.support.faulty_bodies import BODY_FAULTS
from tests.support.faulty_provider import WORDS, FaultyProvider, faulty_provider
from tests.support.faulty_streams import STREAM_FAULTS
from tests.support.front_clients import FrontClients, Received, front_clients
from tests.support.gateways import gateway_settings, served
from tests.support.processes import WorkerProcess, worker_process

pytestmark = [
    pytest.mark.redis,
    pytest.mark.process,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),
]

CALLS: Final = {"tries": 2, "attempts": 3, "1": 1}
WORKER: Final = {"TAILRACE_PROVIDER_TRIES": str(CALLS["tries"]), "TAILRACE_MAX_ATTEMPTS": str(CALLS["attempts"])}
_DEADLINES: Final = {
    "is silent, after text": {"idle_seconds": 2},
    "is silent after the headers": {"first_token_seconds": 2, "total_seconds": 5},
    "is silent inside the body": {"total_seconds": 2},
}
_WAYS: Final[Mapping[str, Mapping[str, object]]] = {"verbatim": {}, "translated": {"max_output_tokens": 1}}
"""A request whose tokens have to be limited is translated, also for a provider that speaks the client's protocol."""
MODELS: Final = {
    **{
        f"{way}/{kind}/{fault}/*": {"provider": kind, "timeouts": timeouts, **fields}
        for (way, fields), kind, (fault, timeouts) in product(_WAYS.items(), API_KINDS, _DEADLINES.items())
    },
    **{f"{way}/{kind}/*": {"provider": kind, **fields} for (way, fields), kind in product(_WAYS.items(), API_KINDS)},
}
"""Only a provider that is silent has a short deadline, so that a slow machine fails no other call."""
IN_ORDER: Final = list(range(WORDS))
PLACES: Final = {
    "whole": IN_ORDER,
    "text twice": [place for place in IN_ORDER for _ in range(2)],
    "text swapped": [0, 1, 3, 2, *IN_ORDER[4:]],
}
"""Where in the provider's answer the words of a client's answer stand."""
AS_SENT: Final = "as sent"
"""What a client of the provider itself gets."""
STREAMS_RAISE: Final = {"openai": openai.APIError, "anthropic": anthropic.APIStatusError}
SDKS: Final = {"openai": openai, "openai-responses": openai, "anthropic": anthropic}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The gateway with clients of it, and what is behind it."""

    tailrace: Tailrace
    clients: FrontClients
    direct: FrontClients
    """Clients of the provider itself."""
    provider: FaultyProvider
    worker: WorkerProcess


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(broker_url: str) -> AsyncIterator[Stage]:
    settings = Settings.read(redis_url=broker_url, prefix=f"test-{secrets.token_hex(6)}")
    async with Tailrace.connect(**settings.model_dump()) as tailrace:

        async def heard(model: str, call: int) -> None:
            """Waits until the stream of the call's job has text of the call. A direct call has no job."""
            for job_id in [each.job_id for each in await tailrace.jobs() if each.model == model]:
                async with tailrace.job(job_id).tail() as events:
                    async for event in events:
                        if isinstance(event, Delta) and event.id.attempt == call:
                            return

        # A client that has its error has left. Its job is to end by itself.
        app = create_app(tailrace, gateway_settings(settings, models=MODELS, gateway_leave_seconds=60))
        async with (
            faulty_provider(heard) as provider,
            worker_process(settings, provider, **WORKER) as worker,
            served(app) as gateway,
            front_clients(gateway.url) as clients,
            front_clients(provider.url) as direct,
        ):
            yield Stage(tailrace=tailrace, clients=clients, direct=direct, provider=provider, worker=worker)


async def test_the_docs_declare_what_is_tested() -> None:
    rows = {table: declared_faults(table).values() for table in Declared}
    for table, faults in {
        Declared.TRANSLATED: STREAM_FAULTS,
        Declared.VERBATIM: STREAM_FAULTS,
        Declared.VERBATIM_BODY: BODY_FAULTS,
    }.items():
        assert {row.fault for row in rows[table]} == set(faults)
    assert (len(STREAM_FAULTS), len(BODY_FAULTS)) == (19, 13)
    told = {cell for each in rows.values() for row in each for cell in (*row.streamed.values(), row.not_streamed)}
    assert told - {*PLACES, AS_SENT, ""} == set(declared_errors())


@pytest.mark.parametrize("front", API_KINDS)
@pytest.mark.parametrize("fault", STREAM_FAULTS)
async def test_a_fault_of_the_provider_has_the_declared_outcome(stage: Stage, fault: str, front: ApiKind) -> None:
    await asyncio.gather(
        *(
            check(stage, Declared.TRANSLATED, fault, front, kind, is_once=is_once, is_streamed=is_streamed)
            for kind, is_once, is_streamed in product(API_KINDS, (False, True), (False, True))
        )
    )
    check_log(stage)


@pytest.mark.parametrize("front", API_KINDS)
@pytest.mark.parametrize(
    ("table", "fault"),
    [
        *((Declared.VERBATIM, fault) for fault in STREAM_FAULTS),
        *((Declared.VERBATIM_BODY, fault) for fault in BODY_FAULTS),
    ],
)
async def test_a_fault_in_a_verbatim_answer_has_the_declared_outcome(
    stage: Stage, table: Declared, fault: str, front: ApiKind
) -> None:
    is_streamed = table is Declared.VERBATIM
    await asyncio.gather(
        *(
            check(stage, table, fault, front, front, is_once=is_once, is_streamed=is_streamed)
            for is_once in (False, True)
        )
    )
    check_log(stage)


def check_log(stage: Stage) -> None:
    """The worker has met no defect."""
    assert "Traceback" not in stage.worker.log
    assert "defect" not in stage.worker.log


async def check(
    stage: Stage, table: Declared, fault: str, front: ApiKind, kind: ApiKind, *, is_once: bool, is_streamed: bool
) -> None:
    """Asks a provider that speaks this protocol, and compares what comes with the row of the docs."""
    is_verbatim = table is not Declared.TRANSLATED
    way, when = "verbatim" if is_verbatim else "translated", "once" if is_once else "always"
    model = f"{way}/{kind}/{fault}/{when}/{secrets.token_hex(8)}"
    async with asyncio.timeout(60):
        received = await stage.clients.ask(front, model, is_streamed=is_streamed)
        job = stage.tailrace.job(received.job_id)
        ending, status = (await job.answer()).ending, await job.status()
    is_continued = kind == "anthropic" and not is_verbatim
    row = declared_fault(table, fault, kind)
    told = row.streamed[front] if is_streamed else row.not_streamed
    calls, ends = CALLS[row.calls], row.ending
    if is_continued and told == "answer_restarted":
        told = row.ending
    if is_once and row.once != "the same":
        calls, ends = min(2, calls), "completed"
        told = "answer_restarted" if is_streamed and is_restarted(row, table, front, kind) else "whole"
    where = (way, front, kind, when, "streamed" if is_streamed else "whole", received)
    assert status.labels["tailrace.front"].endswith("-verbatim/1") is is_verbatim, where
    code = ending.code if isinstance(ending, Failed) else None
    assert (code or "completed") == ends, where
    assert isinstance(ending, Completed | Failed), where
    assert stage.provider.calls[model] == calls, where
    if told == AS_SENT:
        direct = await stage.direct.ask(front, f"{fault}/{when}/{secrets.token_hex(8)}", is_streamed=is_streamed)
        assert seen(received) == seen(direct), where
        return
    check_text(received, told, is_continued=is_continued, where=where)
    if told not in PLACES:
        # Before any event of a response there is none that could have failed.
        has_response = not is_verbatim or fault.endswith("after text")
        check_error(received, told, front, is_streamed=is_streamed, has_response=has_response, where=where)


def is_restarted(row: DeclaredFault, table: Declared, front: ApiKind, kind: ApiKind) -> bool:
    """True if a stream ends because the answer, after one fault, was begun again."""
    takes_back = table is Declared.TRANSLATED and (front == "openai-responses" or kind == "anthropic")
    return row.once == "begun again" and not takes_back


def seen(received: Received) -> tuple[object, ...]:
    """What a client sees of an answer, whoever has sent it."""
    return received.text, received.whole, type(received.error), received.kind, received.message


def check_text(received: Received, told: str, *, is_continued: bool, where: object) -> None:
    """No answer has words of two calls, unless the second call continues the first one."""
    words = [(int(call), int(place)) for call, place in re.findall(r"(\d)\.(\d)", received.text)]
    calls, places = [call for call, _ in words], [place for _, place in words]
    assert calls == sorted(calls), where
    assert is_continued or len(set(calls)) <= 1, where
    if told in PLACES:
        assert (received.error, received.kind, places) == (None, None, PLACES[told]), where
        assert received.whole in {None, received.text}, where
    else:
        assert places == PLACES["whole"][: len(places)], where


def check_error(
    received: Received, code: str, front: ApiKind, *, is_streamed: bool, has_response: bool, where: object
) -> None:
    """The SDK raises what the table of codes says."""
    declared, error = declared_errors()[code], received.error
    if is_streamed:
        is_event = front == "openai-responses" and not has_response
        assert received.kind == (code if is_event else declared.types[front]), where
        assert type(error) is STREAMS_RAISE.get(front, type(None)), where
        assert (received.message == STARTED_AGAIN.message) is (code == "answer_restarted"), where
    else:
        assert isinstance(error, openai.APIStatusError | anthropic.APIStatusError), where
        assert isinstance(error, getattr(SDKS[front], declared.raised)), where
        assert str(error.status_code) == declared.status, where
    if isinstance(error, openai.APIError):
        assert error.code == code, where
