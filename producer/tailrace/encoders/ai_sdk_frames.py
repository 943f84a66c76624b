"""The frames of the AI SDK's UI message stream."""

import json
from typing import Final

from tailrace.encoders.tool_input import ToolInput, json_error
from tailrace.events import Citation, Ending

DONE: Final = "data: [DONE]\n\n"
"""The last frame."""

_ENDED_BEFORE: Final = "The answer ended before the tool call was complete."


def frame(kind: str, **fields: object) -> str:
    """Return one part of the message as a frame.

    Args:
        kind: The type of the part.
        **fields: Its other fields; those that are `None` are omitted.

    Returns:
        The frame. Its JSON is one line of ASCII.
    """
    part = {"type": kind, **_known(**fields)}
    return f"data: {json.dumps(part, separators=(',', ':'))}\n\n"


def notice_frame(code: str, message: str) -> str:
    """Return a frame for the person who reads the answer. It is shown, but is not part of the message."""
    return frame("data-notice", data={"code": code, "message": message}, transient=True)


def source_frame(citation: Citation) -> str:
    """Return the frame of a source that the answer cites. Its metadata is the citation in its public form."""
    source_id, metadata = str(citation.id), {"tailrace": citation.to_dict()}
    if citation.url is not None:
        return frame(
            "source-url", sourceId=source_id, url=citation.url, title=citation.title, providerMetadata=metadata
        )
    return frame(
        "source-document",
        sourceId=source_id,
        # The provider names no media type, and the part must have one.
        mediaType="application/pdf" if citation.unit == "pages" else "text/plain",
        title=citation.title or citation.source,
        providerMetadata=metadata,
    )


def tool_input_frame(call: ToolInput, *, is_complete: bool) -> str:
    """Return the frame with the arguments of a tool call, or with the reason why they cannot be used.

    Args:
        call: The call, whose id and name are known.
        is_complete: False if the answer broke off, so that the arguments may be cut at any place.

    Returns:
        The frame. After `tool-input-available` clients call the tool.
    """
    arguments = call.arguments or "{}"
    error = json_error(arguments) if is_complete else _ENDED_BEFORE
    if error is not None:
        return frame("tool-input-error", toolCallId=call.call_id, toolName=call.name, input=arguments, errorText=error)
    available = frame("tool-input-available", toolCallId=call.call_id, toolName=call.name).removesuffix("}\n\n")
    # The provider's own text, because Python would write some numbers differently. Line ends in it are white space.
    one_line = arguments.replace("\r", " ").replace("\n", " ")
    return f'{available},"input":{one_line}}}\n\n'


def ending_metadata(ending: Ending) -> dict[str, object]:
    """Return the metadata that the ending adds to a message: provider and model, tokens, and times in ms."""
    return _known(
        provider=ending.provider,
        model=ending.model,
        usage=_known(
            inputTokens=ending.input_tokens,
            outputTokens=ending.output_tokens,
            cachedInputTokens=ending.cached_input_tokens,
            cacheWriteInputTokens=ending.cache_write_input_tokens,
            reasoningTokens=ending.reasoning_tokens,
        ),
        timing=_known(
            queuedMs=ending.queued_ms,
            ttftMs=ending.ttft_ms,
            durationMs=ending.duration_ms,
            tokensPerSecond=ending.tokens_per_second,
        ),
    )


def _known(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
