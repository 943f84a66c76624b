"""The page of errors: the tree of exceptions, and the codes of failed jobs."""

from typing import Final

import tailrace
from tailrace import FailureCode, TailraceError
from tailrace_docs.docstrings import attribute_docs, summary_of, table

_PLAIN: Final = {
    FailureCode.MODEL_NOT_FOUND: "The provider has no model of this name, or the key may not use it.",
    FailureCode.PROVIDER_RATE_LIMITED: "The provider limits the rate of calls or tokens. Try again later.",
    FailureCode.PROVIDER_QUOTA_EXCEEDED: "The account's balance or quota is used up. Another try does not help.",
    FailureCode.PROVIDER_OVERLOADED: "The provider is overloaded. Try again later.",
    FailureCode.TOTAL_TIMEOUT: "The generation took longer than `total_seconds`.",
}
"""For codes whose names say it all, so that the code says no more."""


def tree_markdown() -> str:
    """The exceptions, as a nested list."""
    return "\n".join(_branch(TailraceError, 0)) + "\n"


def codes_markdown() -> str:
    """The codes of failed jobs."""
    docs = attribute_docs(FailureCode)
    return table(("code", "meaning"), ((f"`{code}`", docs.get(code.name) or _PLAIN[code]) for code in FailureCode))


def _branch(error: type[Exception], depth: int) -> list[str]:
    lines = [f"{'  ' * depth}- **`{error.__name__}`**: {summary_of(error)}"]
    for subclass in error.__subclasses__():
        if subclass.__name__ in tailrace.__all__:
            lines += _branch(subclass, depth + 1)
    return lines
