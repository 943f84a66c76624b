"""What the documentation says of the faults of providers: the rows of its tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tailrace.api_kinds import ApiKind

_PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "provider-faults.md"
_NUMBERED: Final = ", and numbers them"
_COLUMNS: Final[Mapping[ApiKind, str]] = {
    "openai": "Chat Completions",
    "anthropic": "Messages",
    "openai-responses": "Responses",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredFault:
    """A row of the table of faults."""

    fault: str
    ending: str
    calls: str
    streamed: Mapping[ApiKind, str]
    """What a streamed call gets, by the API that the client speaks."""
    not_streamed: str
    once: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredError:
    """A row of the table of codes."""

    status: str
    raised: str
    types: Mapping[ApiKind, str]
    """What the error inside a stream is called, by the API that the client speaks."""


def declared_faults() -> Mapping[str, DeclaredFault]:
    """The faults, by what the provider does."""
    return {
        row["the provider …"]: DeclaredFault(
            fault=row["the provider …"].removesuffix(_NUMBERED),
            ending=row["ending"],
            calls=row["calls"],
            streamed={front: row[column] for front, column in _COLUMNS.items()},
            not_streamed=row["not streamed"],
            once=row["once"],
        )
        for row in _rows("| the provider …")
    }


def declared_fault(fault: str, provider: ApiKind) -> DeclaredFault:
    """The row for a fault at a provider that speaks this protocol. Of these, only Responses numbers its events."""
    faults = declared_faults()
    numbered = faults.get(f"{fault}{_NUMBERED}")
    return numbered if numbered and provider == "openai-responses" else faults[fault]


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
        for row in _rows("| code |")
    }


def _rows(beginning: str) -> list[dict[str, str]]:
    lines = iter(_PAGE.read_text(encoding="utf-8").splitlines())
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
