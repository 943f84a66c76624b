"""The page of errors: the tree of exceptions, and the codes of failed jobs."""

import tailrace
from tailrace import FailureCode, TailraceError
from tailrace_docs.docstrings import attribute_docs, summary_of, table


def tree_markdown() -> str:
    """The exceptions, as a nested list."""
    return "\n".join(_branch(TailraceError, 0)) + "\n"


def codes_markdown() -> str:
    """The codes of failed jobs."""
    docs = attribute_docs(FailureCode)
    return table(("code", "meaning"), ((f"`{code}`", docs[code.name]) for code in FailureCode))


def _branch(error: type[Exception], depth: int) -> list[str]:
    lines = [f"{'  ' * depth}- **`{error.__name__}`**: {summary_of(error)}"]
    for subclass in error.__subclasses__():
        if subclass.__name__ in tailrace.__all__:
            lines += _branch(subclass, depth + 1)
    return lines
