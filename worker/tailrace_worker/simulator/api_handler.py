"""`ApiHandler`: one path of a provider's API. It records each request, and answers it by its scenario."""

import asyncio
from collections.abc import Mapping
from typing import cast

from aiohttp import web
from pydantic_core import from_json

from tailrace_worker.simulator.clock import Clock
from tailrace_worker.simulator.journal import Journal, JournalEntry
from tailrace_worker.simulator.scenario import HEADER, InvalidScenario, Scenario
from tailrace_worker.simulator.script import Question, write
from tailrace_worker.simulator.stream import Stream
from tailrace_worker.simulator.whole import whole_response
from tailrace_worker.simulator.wire import CarriageReturns, Refused, SimulatedApi, new_id


class ApiHandler:
    """The handler of the requests of one API."""

    def __init__(self, api: SimulatedApi, *, clock: Clock, journal: Journal) -> None:
        self._api = api
        self._clock = clock
        self._journal = journal

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request. aiohttp cancels this if the client disconnects.

        Args:
            request: The request.
        """
        body = _parsed(await request.read())
        entry = self._journal.open(api=self._api.name, model=_model(body))
        request_id = new_id("req_")
        try:
            return await self._answer(request, body, entry, request_id)
        except Refused as refused:
            entry.status = refused.status
            self._journal.close(entry, "refused")
            return refusal(self._api, refused, model=entry.model, request_id=request_id)
        except (asyncio.CancelledError, ConnectionError):
            self._journal.close(entry, "client_closed")
            raise

    async def _answer(
        self, request: web.Request, body: Mapping[str, object] | None, entry: JournalEntry, request_id: str
    ) -> web.StreamResponse:
        question = self._api.read(request.headers, body)
        scenario = _scenario(request, question).at(entry.attempt)
        scenario = scenario.in_loop(has_tools=bool(question.tools), results=question.tool_results)
        if scenario.status is not None:
            retry_after = scenario.retry_after_header if scenario.status == 429 else None
            raise Refused(scenario.status, code=scenario.error_code, retry_after=retry_after)
        script = write(scenario, question)
        answer = self._api.answer(question, script, request_id=request_id)
        headers = {self._api.request_id_header: request_id}
        if not question.stream:
            whole = await whole_response(
                request,
                answer=answer,
                scenario=scenario,
                pieces=script.pieces,
                journal=self._journal,
                entry=entry,
            )
            whole.headers.update(headers)
            return whole
        response = web.StreamResponse(headers={**headers, "cache-control": "no-cache"})
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        response.enable_chunked_encoding()
        await response.prepare(request)
        stream = Stream(
            request,
            answer=CarriageReturns(answer) if scenario.crlf else answer,
            scenario=scenario,
            clock=self._clock,
            journal=self._journal,
            entry=entry,
        )
        await stream.send()
        return response


def refusal(api: SimulatedApi, refused: Refused, *, model: str, request_id: str) -> web.Response:
    """Return the error response of a provider.

    Args:
        api: The API of the provider.
        refused: The error.
        model: The model string of the request, with its options.
        request_id: The id of the request.
    """
    headers = {api.request_id_header: request_id}
    if refused.retry_after is not None:
        headers["retry-after"] = refused.retry_after
    model_name = model.partition("?")[0]
    return web.json_response(
        api.refusal(refused, model_name=model_name, request_id=request_id),
        status=refused.status,
        headers=headers,
    )


def _parsed(raw: bytes) -> Mapping[str, object] | None:
    try:
        body: object = from_json(raw)
    except ValueError:
        return None
    return cast("Mapping[str, object]", body) if isinstance(body, dict) else None


def _model(body: Mapping[str, object] | None) -> str:
    model = body.get("model") if body else None
    return model if isinstance(model, str) else ""


def _scenario(request: web.Request, question: Question) -> Scenario:
    header = request.headers.get(HEADER)
    try:
        return Scenario.parse(question.model) if header is None else Scenario.read(header)
    except InvalidScenario as error:
        raise Refused(400, str(error), param="model") from None
