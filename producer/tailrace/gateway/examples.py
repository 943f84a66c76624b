"""Examples for the OpenAPI document."""

from typing import Any, Final

NEW_JOB: Final[dict[str, Any]] = {
    "provider": "openai",
    "model": "gpt-5.6",
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    "conversation": "chat-42",
    "if_active": "interrupt",
    "labels": {"user": "u-7"},
}

NEW_VERBATIM_JOB: Final[dict[str, Any]] = {
    "provider": "anthropic",
    "body": {
        "model": "claude-opus-4-5",
        "max_tokens": 1_024,
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    },
    "headers": {"anthropic-beta": "context-management-2025-06-27"},
}

NEW_TURN: Final[dict[str, Any]] = {
    "id": "chat-42",
    "trigger": "submit-message",
    "messages": [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Why is the sky blue?"}]}],
    "provider": "openai",
    "model": "gpt-5.6",
}
