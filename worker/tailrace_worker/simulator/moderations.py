"""The simulated moderation endpoint of OpenAI."""

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, cast
from urllib.parse import parse_qsl

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from tailrace_worker.simulator import openai_door
from tailrace_worker.simulator.journal import Journal, JournalEntry
from tailrace_worker.simulator.scenario import HEADER
from tailrace_worker.simulator.wire import Body, Refused, first_fault, new_id

PATH: Final = "/v1/moderations"
_CATEGORIES: Final = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent"),
    *("self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors"),
    *("violence", "violence/graphic"),
)
_FLAG: Final = re.compile(rf"\bflag:({'|'.join(sorted(_CATEGORIES, reverse=True))})")


class Options(BaseModel):
    """The options of a query string such as `flag=mill&status=503`, after the `?` of the model or in the header."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flag: str | None = None
    """Text that contains this is flagged as violence. Text that contains `flag:CATEGORY` is always flagged so."""
    delay_ms: Annotated[float, Field(ge=0, le=86_400_000, allow_inf_nan=False)] = 0
    """The delay before the answer."""
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    """The status of an error to send instead of a verdict."""


class _TextPart(BaseModel):
    type: Literal["text"]
    text: str


class _ImagePart(BaseModel):
    type: Literal["image_url"]


_Part: TypeAlias = Annotated[_TextPart | _ImagePart, Field(discriminator="type")]


class _ModerationsBody(Body):
    model: str = "omni-moderation-latest"
    input: str | list[str] | list[_Part]

    @property
    def texts(self) -> list[str]:
        """The texts of the results: one for each string, or one for all parts together."""
        if isinstance(self.input, str):
            return [self.input]
        strings = [each for each in self.input if isinstance(each, str)]
        return strings or ["\n".join(part.text for part in self.input if isinstance(part, _TextPart))]


class Moderations:
    """`POST /v1/moderations`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request. aiohttp cancels this if the client disconnects.

        Args:
            request: The request.
        """
        entry = self._journal.open(api="openai-moderations", model="")
        headers = {openai_door.REQUEST_ID_HEADER: new_id("req_")}
        try:
            told = await self._answer(request, entry)
        except Refused as refused:
            entry.status = refused.status
            self._journal.close(entry, "refused")
            refusal = openai_door.refusal(refused, model_name=entry.model.partition("?")[0])
            return web.json_response(refusal, status=refused.status, headers=headers)
        except (asyncio.CancelledError, ConnectionError):
            self._journal.close(entry, "client_closed")
            raise
        self._journal.close(entry, "complete")
        return web.json_response(told, headers=headers)

    async def _answer(self, request: web.Request, entry: JournalEntry) -> dict[str, Any]:
        body = openai_door.admitted(_ModerationsBody, request.headers, _parsed(await request.read()))
        entry.model = body.model
        name, _, query = body.model.partition("?")
        options = _options(request.headers.get(HEADER, query))
        await asyncio.sleep(options.delay_ms / 1000)
        if options.status is not None:
            raise Refused(options.status)
        results = [_result(text, options) for text in body.texts]
        return {"id": new_id("modr-"), "model": name, "results": results}


def _result(text: str, options: Options) -> dict[str, Any]:
    flags = set(_FLAG.findall(text))
    if options.flag and options.flag in text:
        flags.add("violence")
    return {
        "flagged": bool(flags),
        "categories": {category: category in flags for category in _CATEGORIES},
        "category_scores": {category: 0.99 if category in flags else 0.01 for category in _CATEGORIES},
        "category_applied_input_types": {category: ["text"] for category in _CATEGORIES},
    }


def _parsed(raw: bytes) -> Mapping[str, object] | None:
    try:
        body: object = from_json(raw)
    except ValueError:
        return None
    return cast("Mapping[str, object]", body) if isinstance(body, dict) else None


def _options(query: str) -> Options:
    try:
        return Options.model_validate(dict(parse_qsl(query, keep_blank_values=True)))
    except ValidationError as error:
        field, _, rule = first_fault(error)
        raise Refused(400, f"{field}: {rule}", param="model") from None
