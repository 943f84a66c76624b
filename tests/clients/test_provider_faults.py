"""Providers that do wrong in the middle of an answer, and what the official SDKs see of it: what the docs declare."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
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
from tests.support.declared_faults import declared_errors, declared_fault, declared_faults
from tests.support.faulty_provider import FAULTS, WORDS, FaultyProvider, faulty_provider
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
_SHORT: Final = {"is silent, after text": "idle_seconds", "is silent after the headers": "first_token_seconds"}
TIMEOUTS: Final = {"idle_seconds": 5, "first_token_seconds": 5}
MODELS: Final[dict[str, object]] = {
    **{
        f"{kind}/{fault}/*": {"provider": kind, "timeouts": {deadline: 2}, "max_output_tokens": 1}
        for kind, (fault, deadline) in product(API_KINDS, _SHORT.items())
    },
    **{f"{kind}/*": {"provider": kind, "max_output_tokens": 1} for kind in API_KINDS},
    **{f"verbatim/{kind}/*": {"provider": kind, "timeouts": TIMEOUTS} for kind in API_KINDS},
}
"""Only a provider that is silent has a short deadline, so that a slow machine fails no other call.

Requests whose tokens have to be limited are translated, also for a provider that speaks the client's protocol.
"""
IN_ORDER: Final = list(range(WORDS))
PLACES: Final = {
    "whole": IN_ORDER,
    "text twice": [place for place in IN_ORDER for _ in range(2)],
    "text swapped": [0, 1, 3, 2, *IN_ORDER[4:]],
}
"""Where in the provider's answer the words of a client's answer stand."""
STREAMS_RAISE: Final = {"openai": openai.APIError, "anthropic": anthropic.APIStatusError}
SDKS: Final = {"openai": openai, "openai-responses": openai, "anthropic": anthropic}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The gateway with clients of it, and what is behind it."""

    tailrace: Tailrace
    clients: FrontClients
    provider: FaultyProvider
    worker: WorkerProcess


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(broker_url: str) -> AsyncIterator[Stage]:
    settings = Settings.read(redis_url=broker_url, prefix=f"test-{secrets.token_hex(6)}")
    async with Tailrace.connect(**settings.model_dump()) as tailrace:

        async def heard(model: str, call: int) -> None:
            """Waits until the stream of the call's job has text of the call."""
            (job_id,) = [each.job_id for each in await tailrace.jobs() if each.model == model]
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
        ):
            yield Stage(tailrace=tailrace, clients=clients, provider=provider, worker=worker)


async def test_the_docs_declare_what_is_tested() -> None:
    rows = declared_faults()
    assert {row.fault for row in rows.values()} == set(FAULTS)
    assert len(FAULTS) == 16
    told = {cell for row in rows.values() for cell in (*row.streamed.values(), row.not_streamed)}
    assert told - set(PLACES) == set(declared_errors())


@pytest.mark.parametrize("front", API_KINDS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_of_the_provider_has_the_declared_outcome(stage: Stage, fault: str, front: ApiKind) -> None:
    await asyncio.gather(
        *(
            check(stage, fault, front, kind, is_once=is_once, is_streamed=is_streamed)
            for kind, is_once, is_streamed in product(API_KINDS, (False, True), (False, True))
        )
    )
    assert "Traceback" not in stage.worker.log
    assert "defect" not in stage.worker.log


@pytest.mark.parametrize("api", API_KINDS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_verbatim_stream_is_whole_or_ends_with_an_error_and_never_has_two_answers(
    stage: Stage, fault: str, api: ApiKind
) -> None:
    for when in ("always", "once"):
        model = f"verbatim/{api}/{fault}/{when}/{secrets.token_hex(8)}"
        async with asyncio.timeout(60):
            received = await stage.clients.ask(api, model, is_streamed=True)
            status = await stage.tailrace.job(received.job_id).status()
        assert status.labels["tailrace.front"].endswith("-verbatim/1")
        words = [(int(call), int(place)) for call, place in re.findall(r"(\d)\.(\d)", received.text)]
        assert len({call for call, _ in words}) <= 1, received
        has_error = received.error is not None or received.kind is not None
        places = [place for _, place in words]
        # The provider's own events come twice or swapped, as it has sent them.
        assert has_error or set(places) == set(IN_ORDER), received
    assert "Traceback" not in stage.worker.log
    assert "defect" not in stage.worker.log


async def check(stage: Stage, fault: str, front: ApiKind, kind: ApiKind, *, is_once: bool, is_streamed: bool) -> None:
    """Asks a provider that speaks this protocol, and compares what comes with the row of the docs."""
    model = f"{kind}/{fault}/{'once' if is_once else 'always'}/{secrets.token_hex(8)}"
    async with asyncio.timeout(60):
        received = await stage.clients.ask(front, model, is_streamed=is_streamed)
        ending = (await stage.tailrace.job(received.job_id).answer()).ending
    row = declared_fault(fault, kind)
    told = row.streamed[front] if is_streamed else row.not_streamed
    calls, ends = CALLS[row.calls], row.ending
    is_continued = kind == "anthropic"
    if is_continued and told == "answer_restarted":
        told = row.ending
    if is_once and row.once != "the same":
        calls, ends = min(2, calls), "completed"
        is_restarted = row.once == "begun again" and is_streamed and front != "openai-responses" and not is_continued
        told = "answer_restarted" if is_restarted else "whole"
    where = (front, kind, "once" if is_once else "always", "streamed" if is_streamed else "whole", received)
    code = ending.code if isinstance(ending, Failed) else None
    assert (code or "completed") == ends, where
    assert isinstance(ending, Completed | Failed), where
    assert sum(stage.provider.calls[name] for name in (model, model.partition("/")[2])) == calls, where
    check_text(received, told, is_continued=is_continued, where=where)
    if told not in PLACES:
        check_error(received, told, front, is_streamed=is_streamed, where=where)


def check_text(received: Received, told: str, *, is_continued: bool, where: object) -> None:
    """No answer has words of two calls, unless the second call continues the first one."""
    words = [(int(call), int(place)) for call, place in re.findall(r"(\d)\.(\d)", received.text)]
    calls, places = [call for call, _ in words], [place for _, place in words]
    assert calls == sorted(calls), where
    assert is_continued or len(set(calls)) <= 1, where
    if told in PLACES:
        assert (received.error, received.kind, places) == (None, None, PLACES[told]), where
    else:
        assert places == PLACES["whole"][: len(places)], where


def check_error(received: Received, code: str, front: ApiKind, *, is_streamed: bool, where: object) -> None:
    """The SDK raises what the table of codes says."""
    declared, error = declared_errors()[code], received.error
    if is_streamed:
        assert received.kind == declared.types[front], where
        assert type(error) is STREAMS_RAISE.get(front, type(None)), where
        assert (received.message == STARTED_AGAIN.message) is (code == "answer_restarted"), where
    else:
        assert isinstance(error, openai.APIStatusError | anthropic.APIStatusError), where
        assert isinstance(error, getattr(SDKS[front], declared.raised)), where
        assert str(error.status_code) == declared.status, where
    if isinstance(error, openai.APIError):
        assert error.code == code, where
