"""The tokens of an answer in the forms of OpenAI's and Anthropic's APIs."""

from typing import Any

from tailrace.events import Ending


def chat_usage(ending: Ending) -> dict[str, Any] | None:
    """Return the `usage` of a chat completion.

    Args:
        ending: The ending of the job.

    Returns:
        The usage; `None` if the provider did not count.
    """
    if ending.input_tokens is None and ending.output_tokens is None:
        return None
    prompt, output = _prompt_tokens(ending), ending.output_tokens or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": _cached(ending),
        "completion_tokens_details": {"reasoning_tokens": ending.reasoning_tokens or 0},
    }


def response_usage(ending: Ending) -> dict[str, Any] | None:
    """Return the `usage` of a response.

    Args:
        ending: The ending of the job.

    Returns:
        The usage; `None` if the provider did not count.
    """
    if ending.input_tokens is None and ending.output_tokens is None:
        return None
    prompt, output = _prompt_tokens(ending), ending.output_tokens or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": _cached(ending),
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": ending.reasoning_tokens or 0},
        "total_tokens": prompt + output,
    }


def message_usage(ending: Ending) -> dict[str, int]:
    """Return the `usage` of one of Anthropic's messages.

    Args:
        ending: The ending of the job.

    Returns:
        The usage. The input has no tokens of the cache.
    """
    cached, written = _cached(ending).values()
    return {
        "input_tokens": _prompt_tokens(ending) - cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": ending.output_tokens or 0,
    }


def _cached(ending: Ending) -> dict[str, int]:
    return {
        "cached_tokens": ending.cached_input_tokens or 0,
        "cache_write_tokens": ending.cache_write_input_tokens or 0,
    }


def _prompt_tokens(ending: Ending) -> int:
    """Return all tokens of the messages. Anthropic does not count those of its cache among the input."""
    counted, cached = ending.input_tokens or 0, sum(_cached(ending).values())
    return counted + cached if ending.provider == "anthropic" or cached > counted else counted
