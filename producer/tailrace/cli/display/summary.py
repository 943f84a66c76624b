"""The summary of an ending, as text."""

from tailrace.events import Cancelled, Completed, Ending, Failed


def outcome(ending: Ending) -> str:
    """Return how the job ended, and why."""
    return f"{ending.type}: {_why(ending)}"


def figures(ending: Ending) -> dict[str, str]:
    """Return the known usage and timing as text, by the names of their fields."""
    known = {
        "input_tokens": ("{:,} tokens in", ending.input_tokens),
        "output_tokens": ("{:,} tokens out", ending.output_tokens),
        "queued_ms": ("queued {:,} ms", ending.queued_ms),
        "ttft_ms": ("first token after {:,} ms", ending.ttft_ms),
        "duration_ms": ("ran {:,} ms", ending.duration_ms),
        "tokens_per_second": ("{:,.0f} tokens/s", ending.tokens_per_second),
    }
    return {name: form.format(figure) for name, (form, figure) in known.items() if figure is not None}


def summary(ending: Ending) -> str:
    """Return the whole summary on one line."""
    known = ", ".join(figures(ending).values())
    return outcome(ending) + (f" ({known})" if known else "")


def _why(ending: Ending) -> str:
    match ending:
        case Completed():
            return ending.finish_reason
        case Failed():
            return f"{ending.code}: {ending.message}"
        case Cancelled():
            return ending.reason or "no reason given"
