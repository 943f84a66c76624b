"""What is wrong with a request: by the path that its author wrote, and without the value, which may be a prompt."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias, cast

from pydantic import ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from tailrace.field_docs import describe_fields

CLOSED: Final = ConfigDict(extra="forbid", json_schema_extra=describe_fields)
"""Of each part of a request: it takes no other fields, and its JSON schema has the docstrings of its fields."""

Path: TypeAlias = tuple[str | int, ...]

MAX_PROBLEMS: Final = 100
"""How many problems of a request are told: one with thousands would hold its reader, and fill the job's ending."""


class Problem(NamedTuple):
    """One field at fault, and what its author can do."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path)) or 'request'}: {self.why}"


def refusal(problems: Iterable[Problem]) -> ValidationError:
    """The error to raise from a validator: pydantic puts the path of the validator's own field before each path."""
    return _error(_line("refused", path, why) for path, why in problems)


def retold(error: ValidationError, data: object, stranger: Callable[[str], str]) -> ValidationError:
    """The same problems on the paths of `data`; `stranger` tells why there is no field of a name.

    Pydantic puts the names of the members of its unions into the paths (`messages.0.user.content.parts.1.image.url`),
    and the value that should have named one into the message.
    """
    return _error(_retold(line, data, stranger) for line in cast("list[dict[str, Any]]", error.errors()))


def described(error: ValidationError) -> str:
    """The fields at fault, and their rules, on one line and without the values."""
    return "; ".join(str(Problem(line["loc"], line["msg"])) for line in error.errors())


def _retold(line: dict[str, Any], data: object, stranger: Callable[[str], str]) -> InitErrorDetails:
    path, why = _path(line["loc"], data, is_missing=line["type"] == "missing"), line["msg"]
    match line:
        case {"type": "union_tag_invalid", "ctx": {"discriminator": key, "expected_tags": tags}}:
            path, why = (*path, key.strip("'")), f"Input should be one of {tags}"
        case {"type": "union_tag_not_found", "ctx": {"discriminator": key}}:
            path, why = (*path, key.strip("'")), "Field required"
        case {"type": "extra_forbidden", "loc": [str(name)]}:
            why = stranger(name)
        case _:
            pass
    return _line(line["type"], path, why, line["input"])


def _path(loc: Path, data: object, *, is_missing: bool) -> Path:
    """Leaves out what is no key of the data, unless it is the key that is missing."""
    path: list[str | int] = []
    here: Any = data
    for place, step in enumerate(loc, start=1):
        is_list, is_dict = isinstance(here, list | tuple), isinstance(here, dict)
        if (is_list and isinstance(step, int)) or (is_dict and step in here):
            here = here[step]
        elif not (is_missing and place == len(loc)):
            continue
        path.append(step)
    return tuple(path)


def _line(kind: Any, path: Path, why: str, value: object = None) -> InitErrorDetails:
    # The text is no template of ours: what stands in braces in it must stay.
    error = PydanticCustomError(kind, "{why}", {"why": why})
    return InitErrorDetails(type=error, loc=path, input=value)


def _error(lines: Iterable[InitErrorDetails]) -> ValidationError:
    return ValidationError.from_exception_data("GenerationRequest", list(islice(lines, MAX_PROBLEMS)))
