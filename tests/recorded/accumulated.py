"""What the official SDKs make of the recorded streams."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI, LengthFinishReasonError

from tailrace_worker.providers.base import TokenCounts
from tests.recorded.folded import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Accumulated:
    """An answer as an SDK accumulates it; `body` is the whole of it, as if it had not been streamed."""

    text: str
    refusal: str = ""
    reasoning: str = ""
    signed: list[object] = field(default_factory=list[object])
    """The blocks of reasoning that a later turn gives back, in the provider's form,"""
    signed_whole: list[object] = field(default_factory=list[object])
    """and where they were not streamed."""
    calls: Sequence[Call]
    cited: Sequence[tuple[str, str]] = ()
    """The address of each source that is cited, and the passage of the text for which it is."""
    usage: TokenCounts
    finish: str
    body: bytes


async def chat(model: str) -> Accumulated:
    """Of a chat completion."""
    async with (
        AsyncOpenAI() as client,
        client.chat.completions.stream(
            model=model, messages=[{"role": "user", "content": "Hi"}], stream_options={"include_usage": True}
        ) as stream,
    ):
        completion: Any
        try:
            completion = await stream.get_final_completion()
        except LengthFinishReasonError as error:
            completion = error.completion
    (choice,) = completion.choices
    message, usage = choice.message, completion.usage
    return Accumulated(
        text=message.content or "",
        refusal=message.refusal or "",
        calls=[
            Call(call_id=call.id, name=call.function.name, arguments=call.function.arguments)
            for call in message.tool_calls or ()
        ],
        usage=TokenCounts(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cached_input_tokens=usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens,
            cache_write_input_tokens=usage.prompt_tokens_details and usage.prompt_tokens_details.cache_write_tokens,
            reasoning_tokens=usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens,
        ),
        finish=choice.finish_reason,
        body=completion.to_json().encode(),
    )


async def responses(model: str) -> Accumulated:
    """Of a response. The last event has all of it, also where `get_final_response` knows none."""
    async with AsyncOpenAI() as client, client.responses.stream(model=model, input="Hi") as stream:
        events: list[Any] = [event async for event in stream]
    response = events[-1].response
    thoughts = [item for item in response.output if item.type == "reasoning"]
    # Encrypted anew in the last event, and that of `done` is to be given back, the SDK says.
    done = [event.item for event in events if event.type == "response.output_item.done"]
    return Accumulated(
        text=response.output_text,
        reasoning="".join("\n\n".join(part.text for part in item.summary) for item in thoughts),
        signed=[item.to_dict() for item in done if item.type == "reasoning"],
        signed_whole=[item.to_dict() for item in thoughts],
        calls=[
            Call(call_id=item.call_id, name=item.name, arguments=item.arguments)
            for item in response.output
            if item.type == "function_call"
        ],
        cited=[
            (annotation.url, part.text[annotation.start_index : annotation.end_index])
            for item in response.output
            if item.type == "message"
            for part in item.content
            for annotation in part.annotations
        ],
        usage=TokenCounts(
            input_tokens=response.usage.input_tokens,
            output_tokens=response.usage.output_tokens,
            cached_input_tokens=response.usage.input_tokens_details.cached_tokens,
            cache_write_input_tokens=response.usage.input_tokens_details.cache_write_tokens,
            reasoning_tokens=response.usage.output_tokens_details.reasoning_tokens,
        ),
        finish=response.incomplete_details.reason if response.incomplete_details else response.status,
        body=response.to_json().encode(),
    )


async def messages(model: str) -> Accumulated:
    """Of a message."""
    async with (
        AsyncAnthropic() as client,
        client.messages.stream(model=model, max_tokens=1, messages=[{"role": "user", "content": "Hi"}]) as stream,
    ):
        message = await stream.get_final_message()
    thoughts = [block for block in message.content if block.type == "thinking"]
    details = message.usage.output_tokens_details
    return Accumulated(
        text="".join(block.text for block in message.content if block.type == "text"),
        reasoning="".join(block.thinking for block in thoughts),
        signed=[block.to_dict() for block in thoughts],
        signed_whole=[block.to_dict() for block in thoughts],
        calls=[
            Call(call_id=block.id, name=block.name, arguments=str(block.input))
            for block in message.content
            if block.type == "tool_use"
        ],
        cited=[
            (citation.url, block.text)
            for block in message.content
            if block.type == "text"
            for citation in block.citations or ()
            if citation.type == "web_search_result_location"
        ],
        usage=TokenCounts(
            input_tokens=message.usage.input_tokens,
            output_tokens=message.usage.output_tokens,
            cached_input_tokens=message.usage.cache_read_input_tokens,
            cache_write_input_tokens=message.usage.cache_creation_input_tokens,
            reasoning_tokens=details.thinking_tokens if details else None,
        ),
        finish=message.stop_reason or "",
        body=message.to_json().encode(),
    )
