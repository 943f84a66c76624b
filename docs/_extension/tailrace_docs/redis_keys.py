"""The page of Redis keys: what `tailrace.protocol.keys` spells."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Final

from tailrace.protocol import keys
from tailrace_docs.docstrings import summary_of, table

_PLACEHOLDERS: Final = {
    "job_id": "JOB",
    "name": "NAME",
    "tenant": "TENANT",
    "idempotency_key": "KEY",
    "conversation": "KEY",
    "response_id": "KEY",
    "provider": "PROVIDER",
    "model": "MODEL",
}


def markdown() -> str:
    """The keys of jobs, those of the queue's side, and arq's."""
    job: list[tuple[str, str]] = []
    rest: list[tuple[str, str]] = []
    for name, member in vars(keys.Keys).items():
        if not name.startswith("_") and (isinstance(member, property) or _spells_a_key(member)):
            row = _row(member)
            (job if "{JOB}" in row[0] else rest).append(row)
    arq = [_row(function) for name, function in vars(keys).items() if name.startswith("arq_")]
    return "\n".join(
        f"## {title}\n\n{table(('key', 'meaning'), rows)}"
        for title, rows in (("A job's own keys", job), ("The queue's side", rest), ("arq's keys", arq))
    )


def _spells_a_key(member: Any) -> bool:
    return callable(member) and inspect.signature(member).return_annotation is str


def _row(member: Any) -> tuple[str, str]:
    return f"`{_key(member)}`", summary_of(member.fget if isinstance(member, property) else member)


def _key(member: Any) -> str:
    if isinstance(member, property):
        return str(member.__get__(keys.Keys()))
    arguments = [_PLACEHOLDERS[name] for name in _parameters(member)]
    if "self" in inspect.signature(member).parameters:
        arguments.insert(0, keys.Keys())  # type: ignore[arg-type]
    key = str(member(*arguments))
    # The digest of a key stands for all of them.
    return f"{key.rpartition(':')[0]}:HASH" if "KEY" in arguments else key


def _parameters(function: Callable[..., object]) -> Iterable[str]:
    return (name for name in inspect.signature(function).parameters if name != "self")
