"""The wire protocol of OpenAI Chat Completions."""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel

from tailrace_worker.simulator import openai_door
from tailrace_worker.simulator.script import (
    AnswerScript,
    Question,
    ReasoningBlock,
    RefusalBlock,
    SearchBlock,
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


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _Function(BaseModel):
    name: str


class _ChatTool(BaseModel):
    function: _Function | None = None


class _ChatBody(Body):
    messages: Conversation
    tools: tuple[_ChatTool, ...] = ()
    stream_options: _StreamOptions | None = None


class ChatCompletionsApi:
    """`POST /v1/chat/completions`."""

    name = "openai-chat"
    path = "/v1/chat/completions"
    request_id_header = openai_door.REQUEST_ID_HEADER

    def read(self, headers: Mapping[str, str], body: Mapping[str, object] | None) -> Question:
        read = openai_door.admitted(_ChatBody, headers, body)
        return Question(
            model=read.model,
            stream=read.stream,
            input_tokens=estimated_tokens(read.messages),
            tools=tuple(tool.function.name for tool in read.tools if tool.function),
            tool_results=joined_results(_result(message) for message in reversed(read.messages)),
            include_usage=read.stream_options is not None and read.stream_options.include_usage,
        )

    def refusal(self, refused: Refused, *, model_name: str, request_id: str) -> object:  # noqa: ARG002
        return openai_door.refusal(refused, model_name=model_name)

    def answer(self, question: Question, script: AnswerScript, *, request_id: str) -> "SimulatedCompletion":  # noqa: ARG002
        return SimulatedCompletion(question, script)


class SimulatedCompletion:
    """One answer: deltas. This protocol marks no boundaries except those between tool calls."""

    def __init__(self, question: Question, script: AnswerScript) -> None:
        self._question = question
        self._script = script
        self._id = new_id("chatcmpl-")
        self._created = int(time.time())
        self._finish = "stop" if script.finish == "refusal" else script.finish
        self._calls = [block for block in script.blocks if isinstance(block, ToolCallBlock)]

    def events(self) -> Iterator[Told]:
        yield self._chunk({"role": "assistant", "content": None if self._calls else "", "refusal": None})
        for block in self._script.blocks:
            match block:
                case ReasoningBlock(passage=passage):
                    yield piecewise(self._chunk({"reasoning_content": PLACE}), passage)
                case TextBlock(passage=passage):
                    yield piecewise(self._chunk({"content": PLACE}), passage)
                case RefusalBlock(passage=passage):
                    yield piecewise(self._chunk({"refusal": PLACE}), passage)
                case ToolCallBlock(passage=passage):
                    index = self._calls.index(block)
                    yield self._chunk({"tool_calls": [{"index": index, **_call(block, "")}]})
                    more = {"index": index, "function": {"arguments": PLACE}}
                    yield piecewise(self._chunk({"tool_calls": [more]}), passage)
                case UnknownBlock():
                    yield COMMENT + self._event("chat.completion.surprise", choices=[], surprise={"key": block.key})
                case SearchBlock():
                    pass
        if annotations := self._annotations():
            yield self._chunk({"annotations": annotations})
        yield self._last_chunks() + b"data: [DONE]\n\n"

    def failure(self) -> bytes:
        code = self._script.scenario.error_code
        return server_sent_event({"error": openai_door.failure(code, model_name=self._question.model_name)})

    def whole(self) -> object:
        content, reasoning = self._said(TextBlock), self._said(ReasoningBlock)
        message = {
            "role": "assistant",
            "content": content if content or not self._calls else None,
            "refusal": self._said(RefusalBlock) or None,
            "annotations": self._annotations(),
            **({"reasoning_content": reasoning} if reasoning else {}),
            **({"tool_calls": [_call(call, call.passage.text) for call in self._calls]} if self._calls else {}),
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._usage()}

    def _last_chunks(self) -> bytes:
        finish = partial(self._chunk, {}, self._finish)
        if not self._question.include_usage:
            return finish()
        usage = self._usage()
        alone = self._event("chat.completion.chunk", choices=[], usage=usage)
        match self._script.scenario.usage:
            case "after":
                return finish() + alone
            case "before":
                return alone + finish()
            case "with":
                return finish(usage)

    def _chunk(self, delta: Mapping[str, object], finish_reason: str | None = None, usage: object = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        told = {"usage": usage} if self._question.include_usage else {}
        return self._event("chat.completion.chunk", choices=[choice], **told)

    def _event(self, kind: str, **fields: object) -> bytes:
        return server_sent_event({**self._head(kind), **fields})

    def _head(self, kind: str) -> dict[str, object]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._question.model_name,
            "service_tier": "default",
            "system_fingerprint": "fp_simulator",
        }

    def _said(self, kind: type[ReasoningBlock | TextBlock | RefusalBlock]) -> str:
        return "".join(block.passage.text for block in self._script.blocks if isinstance(block, kind))

    def _annotations(self) -> list[object]:
        """Return an annotation for each source of the text. Each one covers the whole text."""
        sources = [block.source for block in self._script.blocks if isinstance(block, TextBlock) and block.source]
        end = len(self._said(TextBlock)) if sources else 0
        return [
            {
                "type": "url_citation",
                "url_citation": {"start_index": 0, "end_index": end, "title": source.title, "url": source.url},
            }
            for source in sources
        ]

    def _usage(self) -> dict[str, object]:
        script = self._script
        prompt_tokens = script.input_tokens + script.cached_tokens
        return {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": script.output_tokens,
            "total_tokens": prompt_tokens + script.output_tokens,
            "prompt_tokens_details": {"cached_tokens": script.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": script.reasoning_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


def _result(message: Mapping[str, Any]) -> object:
    return message.get("content", "") if message.get("role") == "tool" else None


def _call(call: ToolCallBlock, arguments: str) -> dict[str, object]:
    return {"id": f"call_{call.key}", "type": "function", "function": {"name": call.name, "arguments": arguments}}
