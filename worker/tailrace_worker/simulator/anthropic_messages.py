"""The wire protocol of Anthropic Messages."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, Field

from tailrace_worker.simulator import anthropic_door
from tailrace_worker.simulator.sample_text import Passage
from tailrace_worker.simulator.script import (
    AnswerScript,
    Question,
    ReasoningBlock,
    RefusalBlock,
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
    Refused,
    Told,
    estimated_tokens,
    joined_results,
    new_id,
    piecewise,
    server_sent_event,
)

_STOP_REASONS: Final[Mapping[str, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
"""The finish reasons of tailrace for which Anthropic has another word."""


class _MessagesTool(BaseModel):
    type: str = "custom"
    name: str


class _Part(BaseModel):
    type: str = "text"
    text: str = ""
    content: object = ""


class _MessagesTurn(BaseModel):
    role: str = ""
    content: str | list[_Part] = ""


class _Thinking(BaseModel):
    budget_tokens: int = 0


class _MessagesBody(Body):
    messages: Annotated[tuple[_MessagesTurn, ...], Field(min_length=1)]
    max_tokens: int
    thinking: _Thinking | None = None
    tools: tuple[_MessagesTool, ...] = ()


class MessagesApi:
    """`POST /v1/messages`."""

    name = "anthropic-messages"
    path = "/v1/messages"
    request_id_header = anthropic_door.REQUEST_ID_HEADER

    def read(self, headers: Mapping[str, str], body: Mapping[str, object] | None) -> Question:
        read = anthropic_door.admitted(_MessagesBody, headers, body)
        if read.thinking and read.thinking.budget_tokens >= read.max_tokens:
            raise Refused(400, "`max_tokens` must be greater than `thinking.budget_tokens`")
        return Question(
            model=read.model,
            stream=read.stream,
            input_tokens=estimated_tokens([turn.model_dump() for turn in read.messages]),
            tools=tuple(tool.name for tool in read.tools if tool.type == "custom"),
            tool_results=joined_results(map(_result, reversed(_parts(read.messages[-1])))),
            prefill=_prefill(read.messages[-1]),
        )

    def refusal(self, refused: Refused, *, model_name: str, request_id: str) -> object:
        return anthropic_door.refusal(refused, model_name=model_name, request_id=request_id)

    def answer(self, question: Question, script: AnswerScript, *, request_id: str) -> "SimulatedMessage":
        return SimulatedMessage(question, script, request_id=request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found(SearchBlock):
    """The result of a search, which is a separate block in this protocol."""


_Content: TypeAlias = ReasoningBlock | SearchBlock | _Found | TextBlock | ToolCallBlock | UnknownBlock


class SimulatedMessage:
    """One answer: blocks of content, each with an event for its beginning and one for its end."""

    def __init__(self, question: Question, script: AnswerScript, *, request_id: str) -> None:
        self._question = question
        self._script = script
        self._request_id = request_id
        self._contents = list(_contents(script))

    def events(self) -> Iterator[Told]:
        yield _event("message_start", message=self._message(output_tokens=1))
        for index, content in enumerate(self._contents):
            yield _event("content_block_start", index=index, content_block=_block(content, begun=True))
            if index == 0:
                yield _event("ping")
            yield from _told(index, content)
            yield _event("content_block_stop", index=index)
        yield _event("message_delta", delta=self._ending(), usage=self._usage())
        yield _event("message_stop")

    def failure(self) -> bytes:
        kind = self._script.scenario.error_code or "overloaded_error"
        names = {"model_name": self._question.model_name, "request_id": self._request_id}
        return server_sent_event(anthropic_door.failure(kind, **names), event="error")

    def whole(self) -> object:
        message = self._message(output_tokens=self._script.output_tokens)
        content = [_block(content) for content in self._contents]
        return {**message, "content": content, **self._ending(), "usage": {**message["usage"], **self._usage()}}

    def _message(self, *, output_tokens: int) -> dict[str, Any]:
        return {
            "id": new_id("msg_01"),
            "type": "message",
            "role": "assistant",
            "model": self._question.model_name,
            "container": None,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": {
                **self._input_usage(),
                "cache_creation": None,
                "inference_geo": None,
                "output_tokens": output_tokens,
                "server_tool_use": None,
                "service_tier": "standard",
            },
        }

    def _ending(self) -> dict[str, object]:
        reason = _STOP_REASONS.get(self._script.finish, self._script.finish)
        details = {"type": "refusal", "category": None, "explanation": None} if reason == "refusal" else None
        return {"stop_reason": reason, "stop_sequence": None, "stop_details": details}

    def _usage(self) -> dict[str, object]:
        searches = sum(isinstance(content, _Found) for content in self._contents)
        return {
            **self._input_usage(),
            "output_tokens": self._script.output_tokens,
            "output_tokens_details": {"thinking_tokens": self._script.reasoning_tokens},
            **({"server_tool_use": {"web_search_requests": searches}} if searches else {}),
        }

    def _input_usage(self) -> dict[str, object]:
        return {
            "input_tokens": self._script.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": self._script.cached_tokens,
        }


def _prefill(last: _MessagesTurn) -> str:
    """Return the beginning of the answer that a request contains."""
    if last.role != "assistant":
        return ""
    content = last.content
    text = content if isinstance(content, str) else "".join(part.text for part in content)
    if text != text.rstrip():
        raise Refused(400, "messages: final assistant content cannot end with trailing whitespace")
    return text


def _parts(turn: _MessagesTurn) -> list[_Part]:
    return [] if isinstance(turn.content, str) else turn.content


def _result(part: _Part) -> object:
    return part.content if part.type == "tool_result" else None


def _contents(script: AnswerScript) -> Iterator[_Content]:
    """Yield the blocks of this protocol: two for a search, and none for a refusal."""
    for block in script.blocks:
        if isinstance(block, RefusalBlock):
            continue
        yield block
        if isinstance(block, SearchBlock):
            yield _Found(key=block.key, query=block.query, source=block.source)


def _block(content: _Content, *, begun: bool = False) -> dict[str, object]:
    """Return a block of content, whole or (`begun`) empty, as it begins."""
    match content:
        case ReasoningBlock(passage=passage):
            thinking, signature = ("", "") if begun else (passage.text, content.signature)
            return {"type": "thinking", "thinking": thinking, "signature": signature}
        case TextBlock(passage=passage, source=source):
            citations = None if source is None else [] if begun else [_citation(source)]
            return {"type": "text", "text": "" if begun else passage.text, "citations": citations}
        case ToolCallBlock(passage=passage, name=name):
            arguments: object = {} if begun else json.loads(passage.text)
            called = {"id": f"toolu_01{content.key}", "name": name, "input": arguments, "caller": {"type": "direct"}}
            return {"type": "tool_use", **called}
        case _Found(source=source):
            page = {"type": "web_search_result", "title": source.title, "url": source.url}
            results = [{**page, "encrypted_content": content.key, "page_age": None}]
            return {"type": "web_search_tool_result", "tool_use_id": f"srvtoolu_01{content.key}", "content": results}
        case SearchBlock(query=query):
            arguments = {} if begun else {"query": query}
            return {
                "type": "server_tool_use",
                "id": f"srvtoolu_01{content.key}",
                "name": "web_search",
                "input": arguments,
            }
        case UnknownBlock():
            return {"type": "surprise", "surprise": content.key}


def _told(index: int, content: _Content) -> Iterator[Told]:
    """Yield the events between the beginning and the end of a block."""
    match content:
        case ReasoningBlock(passage=passage):
            yield _pieces(index, "thinking_delta", "thinking", passage)
            yield _delta(index, "signature_delta", signature=content.signature)
        case TextBlock(passage=passage, source=source):
            if source:
                yield _delta(index, "citations_delta", citation=_citation(source))
            yield _pieces(index, "text_delta", "text", passage)
        case ToolCallBlock(passage=passage):
            yield _delta(index, "input_json_delta", partial_json="")
            yield _pieces(index, "input_json_delta", "partial_json", passage)
        case _Found():
            pass
        case SearchBlock(query=query):
            yield _delta(index, "input_json_delta", partial_json=json.dumps({"query": query}))
        case UnknownBlock():
            yield COMMENT + _event("surprise") + _delta(index, "surprise_delta", surprise=content.key)


def _event(kind: str, **fields: object) -> bytes:
    return server_sent_event({"type": kind, **fields}, event=kind)


def _delta(index: int, kind: str, **fields: object) -> bytes:
    return _event("content_block_delta", index=index, delta={"type": kind, **fields})


def _pieces(index: int, kind: str, field: str, passage: Passage) -> Iterator[bytes]:
    return piecewise(_delta(index, kind, **{field: PLACE}), passage)


def _citation(source: Source) -> dict[str, object]:
    return {
        "type": "web_search_result_location",
        "url": source.url,
        "title": source.title,
        "encrypted_index": "simulated",
        "cited_text": source.quote,
    }
