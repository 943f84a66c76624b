"""What the documentation says of the faults of providers: the rows of its tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from tailrace.api_kinds import ApiKind

_PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "provider-faults.md"
_FAULT: Final = "the provider …"
_NUMBERED: Final = ", and numbers them"
_COLUMNS: Final[Mapping[ApiKind, str]] = {
    "openai": "Chat Completions",
    "anthropic": "Messages",
    "openai-responses": "Responses",
}


class Declared(Enum):
    """The tables of faults: what is asked of the provider."""

    TRANSLATED = "### Translated requests"
    VERBATIM = "### Verbatim requests, streamed"
    VERBATIM_BODY = "### Verbatim requests, not streamed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredFault:
    """A row of a table of faults."""

    fault: str
    ending: str
    calls: str
    streamed: Mapping[ApiKind, str]
    """What a streamed call gets, by the API that the client speaks; empty if the provider is not asked to stream."""
    not_streamed: str
    """What any other call gets; `""` if the provider is asked to stream because the client wants a stream."""
    once: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredError:
    """A row of the table of codes."""

    status: str
    raised: str
    types: Mapping[ApiKind, str]
    """What the error inside a stream is called, by the API that the client speaks."""


def declared_faults(table: Declared) -> Mapping[str, DeclaredFault]:
    """The faults of a table, by what the provider does."""
    return {row[_FAULT]: _declared(table, row) for row in _rows(table.value, f"| {_FAULT}")}


def declared_fault(table: Declared, fault: str, provider: ApiKind) -> DeclaredFault:
    """The row for a fault at a provider that speaks this protocol. Of these, only Responses numbers its events."""
    faults = declared_faults(table)
    numbered = faults.get(f"{fault}{_NUMBERED}")
    return numbered if numbered and provider == "openai-responses" else faults[fault]


def _declared(table: Declared, row: Mapping[str, str]) -> DeclaredFault:
    streamed: dict[ApiKind, str] = {}
    not_streamed = ""
    match table:
        case Declared.TRANSLATED:
            streamed = {front: row[column] for front, column in _COLUMNS.items()}
            not_streamed = row["not streamed"]
        case Declared.VERBATIM:
            streamed = dict.fromkeys(_COLUMNS, row["streamed"])
        case Declared.VERBATIM_BODY:
            not_streamed = row["ending"]
    return DeclaredFault(
        fault=row[_FAULT].removesuffix(_NUMBERED),
        ending=row["ending"],
        calls=row["calls"],
        streamed=streamed,
        not_streamed=not_streamed,
        once=row["once"],
    )


def declared_errors() -> Mapping[str, DeclaredError]:
    """What a client sees of a code, by the code."""
    return {
        row["code"]: DeclaredError(
            status=row["status"],
            raised=row["class"],
            types={
                "openai": row["type in Chat Completions"],
                "anthropic": row["type in Messages"],
                "openai-responses": row["code in Responses"],
            },
        )
        for row in _rows("## What a client sees of a code", "| code |")
    }


def _rows(heading: str, beginning: str) -> list[dict[str, str]]:
    """The first table below a heading that begins like this."""
    _, _, below = _PAGE.read_text(encoding="utf-8").partition(f"\n{heading}\n")
    lines = iter(below.splitlines())
    header = next(line for line in lines if line.startswith(beginning))
    next(lines)
    rows: list[dict[str, str]] = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(_cells(header), _cells(line), strict=True)))
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip().strip("`") for cell in line.strip("|").split("|")]
