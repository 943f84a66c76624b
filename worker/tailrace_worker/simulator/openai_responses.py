"""The wire protocol of OpenAI Responses."""

import time
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Final

from pydantic import BaseModel

from tailrace_worker.simulator import openai_door
from tailrace_worker.simulator.sample_text import Passage
from tailrace_worker.simulator.script import (
    AnswerScript,
    Question,
    ReasoningBlock,
    RefusalBlock,
    ScriptBlock,
    SearchBlock,
    Source,
    TextBlock,
    ToolCallBlock,
    UnknownBlock,
)
from tailrace_worker.simulator.wire import (
    COMMENT,
    PLACE,
    Body,
    Conversation,
    Refused,
    Told,
    estimated_tokens,
    joined_results,
    new_id,
    piecewise,
    server_sent_event,
)

_COMPLETE: Final = ("stop", "tool_calls", "refusal")
"""The finish reasons of tailrace with which a response is not incomplete."""
_ID_PREFIXES: Final[Mapping[type[ScriptBlock], str]] = {
    ReasoningBlock: "rs_",
    SearchBlock: "ws_",
    TextBlock: "msg_",
    RefusalBlock: "msg_",
    ToolCallBlock: "fc_",
    UnknownBlock: "sp_",
}


class _ResponsesTool(BaseModel):
    type: str
    name: str | None = None


class _Reasoning(BaseModel):
    summary: str | None = None


class _ResponsesBody(Body):
    input: str | Conversation
    reasoning: _Reasoning | None = None
    tools: tuple[_ResponsesTool, ...] = ()
    include: tuple[str, ...] = ()


class ResponsesApi:
    """`POST /v1/responses`."""

    name = "openai-responses"
    path = "/v1/responses"
    request_id_header = openai_door.REQUEST_ID_HEADER

    def read(self, headers: Mapping[str, str], body: Mapping[str, object] | None) -> Question:
        read = openai_door.admitted(_ResponsesBody, headers, body)
        return Question(
            model=read.model,
            stream=read.stream,
            input_tokens=estimated_tokens(read.input),
            tools=tuple(tool.name for tool in read.tools if tool.type == "function" and tool.name),
            tool_results=None if isinstance(read.input, str) else joined_results(map(_result, reversed(read.input))),
            include_encrypted_reasoning="reasoning.encrypted_content" in read.include,
            reasoning_summary=read.reasoning.summary if read.reasoning else None,
        )

    def refusal(self, refused: Refused, *, model_name: str, request_id: str) -> object:  # noqa: ARG002
        return openai_door.refusal(refused, model_name=model_name)

    def answer(self, question: Question, script: AnswerScript, *, request_id: str) -> "SimulatedResponse":  # noqa: ARG002
        return SimulatedResponse(question, script)


class SimulatedResponse:
    """One answer: items, whose events are numbered, and then all items again at the end."""

    def __init__(self, question: Question, script: AnswerScript) -> None:
        self._question = question
        self._script = script
        self._id = new_id("resp_")
        self._created_at = int(time.time())
        self._sequence = count()
        self._done: list[object] = []

    def events(self) -> Iterator[Told]:
        yield self._event("response.created", response=self._response("in_progress"))
        yield self._event("response.in_progress", response=self._response("in_progress"))
        for index, block in enumerate(self._script.blocks):
            yield self._event("response.output_item.added", output_index=index, item=self._item(block, begun=True))
            yield from self._told(block, output_index=index, item_id=_id(block))
            self._done.append(self._item(block))
            yield self._event("response.output_item.done", output_index=index, item=self._done[-1])
        yield self._event(f"response.{self._status}", response=self._response(self._status))

    def failure(self) -> bytes:
        scenario = self._script.scenario
        code = scenario.error_code or "server_error"
        error = openai_door.failure(code, model_name=self._question.model_name)
        if scenario.error_shape == "flat":
            return self._event("error", code=code, message=error["message"], param=None)
        told = self._event("error", error=error) if scenario.error_shape == "nested" else b""
        ending = {"status": "failed", "error": {"code": code, "message": error["message"]}}
        return told + self._event("response.failed", response={**self._response("failed"), **ending})

    def whole(self) -> object:
        self._done = [self._item(block) for block in self._script.blocks]
        return self._response(self._status)

    @property
    def _status(self) -> str:
        return "completed" if self._script.finish in _COMPLETE else "incomplete"

    def _told(self, block: ScriptBlock, **at: object) -> Iterator[Told]:
        """Yield the events between the beginning and the end of an item."""
        match block:
            case ReasoningBlock(passage=passage):
                at = {**at, "summary_index": 0}
                yield self._event("response.reasoning_summary_part.added", **at, part=_summary(""))
                yield self._pieces("response.reasoning_summary_text.delta", passage, **at)
                yield self._event("response.reasoning_summary_text.done", **at, text=passage.text)
                yield self._event("response.reasoning_summary_part.done", **at, part=_summary(passage.text))
            case TextBlock(passage=passage, source=source):
                at = {**at, "content_index": 0}
                yield self._event("response.content_part.added", **at, part=_part(block, begun=True))
                yield self._pieces("response.output_text.delta", passage, **at, logprobs=[])
                for number, annotation in enumerate(_annotations(passage.text, source)):
                    kind = "response.output_text.annotation.added"
                    yield self._event(kind, **at, annotation_index=number, annotation=annotation)
                yield self._event("response.output_text.done", **at, text=passage.text, logprobs=[])
                yield self._event("response.content_part.done", **at, part=_part(block))
            case RefusalBlock(passage=passage):
                at = {**at, "content_index": 0}
                yield self._event("response.content_part.added", **at, part=_part(block, begun=True))
                yield self._pieces("response.refusal.delta", passage, **at)
                yield self._event("response.refusal.done", **at, refusal=passage.text)
                yield self._event("response.content_part.done", **at, part=_part(block))
            case ToolCallBlock(passage=passage):
                yield self._pieces("response.function_call_arguments.delta", passage, **at)
                yield self._event("response.function_call_arguments.done", **at, arguments=passage.text)
            case SearchBlock():
                for step in ("in_progress", "searching", "completed"):
                    yield self._event(f"response.web_search_call.{step}", **at)
            case UnknownBlock():
                yield COMMENT + self._event("response.surprise.delta", **at, delta={"key": block.key})

    def _event(self, kind: str, **fields: object) -> bytes:
        return server_sent_event({"type": kind, "sequence_number": next(self._sequence), **fields}, event=kind)

    def _pieces(self, kind: str, passage: Passage, **fields: object) -> Iterator[bytes]:
        event = server_sent_event({"type": kind, **fields, "delta": PLACE, "sequence_number": 0}, event=kind)
        pieces = piecewise(event.removesuffix(b"0}\n\n"), passage)
        return (b"%b%d}\n\n" % numbered for numbered in zip(pieces, self._sequence))  # noqa: B905

    def _item(self, block: ScriptBlock, *, begun: bool = False) -> dict[str, object]:
        """Return an item of the output, whole or (`begun`) empty, as it begins."""
        status = "in_progress" if begun else self._status
        item: dict[str, object] = {"id": _id(block)}
        match block:
            case ReasoningBlock(passage=passage):
                item |= {"type": "reasoning", "summary": [] if begun else [_summary(passage.text)]}
                if self._question.include_encrypted_reasoning:
                    # The real API sends two different values. Only the one at the end of the item counts.
                    item |= {"encrypted_content": block.signature[:8] if begun else block.signature}
            case TextBlock() | RefusalBlock():
                content = [] if begun else [_part(block)]
                item |= {"type": "message", "status": status, "role": "assistant", "content": content}
            case ToolCallBlock(passage=passage, name=name):
                call = {"call_id": f"call_{block.key}", "name": name, "arguments": "" if begun else passage.text}
                item |= {"type": "function_call", "status": status, **call}
            case SearchBlock(query=query):
                action = {} if begun else {"action": {"type": "search", "query": query}}
                item |= {"type": "web_search_call", "status": status, **action}
            case UnknownBlock():
                item |= {"type": "surprise", "status": status}
        return item

    def _response(self, status: str) -> dict[str, object]:
        ended = status in ("completed", "incomplete")
        reason = "max_output_tokens" if self._script.finish == "length" else self._script.finish
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created_at,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "background": False,
            "error": None,
            "frequency_penalty": 0.0,
            "incomplete_details": {"reason": reason} if status == "incomplete" else None,
            "instructions": None,
            "max_output_tokens": None,
            "max_tool_calls": None,
            "metadata": {},
            "model": self._question.model_name,
            "output": list(self._done),
            "parallel_tool_calls": True,
            "presence_penalty": 0.0,
            "previous_response_id": None,
            "prompt_cache_key": None,
            "reasoning": {"effort": None, "summary": self._question.reasoning_summary},
            "safety_identifier": None,
            "service_tier": "default",
            "store": True,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": 0,
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": self._usage() if ended else None,
            "user": None,
        }

    def _usage(self) -> dict[str, object]:
        script = self._script
        input_tokens = script.input_tokens + script.cached_tokens
        return {
            "input_tokens": input_tokens,
            "input_tokens_details": {"cached_tokens": script.cached_tokens},
            "output_tokens": script.output_tokens,
            "output_tokens_details": {"reasoning_tokens": script.reasoning_tokens},
            "total_tokens": input_tokens + script.output_tokens,
        }


def _result(item: Mapping[str, Any]) -> object:
    return item.get("output", "") if item.get("type") == "function_call_output" else None


def _id(block: ScriptBlock) -> str:
    return f"{_ID_PREFIXES[type(block)]}{block.key}"


def _summary(text: str) -> dict[str, object]:
    return {"type": "summary_text", "text": text}


def _part(block: TextBlock | RefusalBlock, *, begun: bool = False) -> dict[str, object]:
    text = "" if begun else block.passage.text
    if isinstance(block, RefusalBlock):
        return {"type": "refusal", "refusal": text}
    annotations = [] if begun else _annotations(text, block.source)
    return {"type": "output_text", "annotations": annotations, "logprobs": [], "text": text}


def _annotations(text: str, source: Source | None) -> list[object]:
    if source is None:
        return []
    cited = {"type": "url_citation", "title": source.title, "url": source.url}
    return [{**cited, "start_index": 0, "end_index": len(text)}]
