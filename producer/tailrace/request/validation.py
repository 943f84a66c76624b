"""Problems of requests: each has the path that the author wrote, and never the value, which may be a prompt."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

from pydantic import ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from tailrace.field_docs import describe_fields

CLOSED: Final = ConfigDict(extra="forbid", json_schema_extra=describe_fields)
"""For each part of a request: no other fields are allowed, and the JSON schema has the docstrings of the fields."""

Path: TypeAlias = tuple[str | int, ...]


class PathIn(Protocol):
    """Finds a field in a form that is translated before it is validated; `()` if the form has no place for it."""

    def __call__(self, form: object, step: str | int, *, is_missing: bool) -> Path: ...


MAX_PROBLEMS: Final = 100
"""How many problems of a request are reported: thousands would block the reader, and fill the job's ending."""


class Problem(NamedTuple):
    """A field that is not valid, and what its author can do."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path)) or 'request'}: {self.why}"


def refusal(problems: Iterable[Problem], *, kind: str = "refused") -> ValidationError:
    """Make the error to raise from a validator.

    Args:
        problems: The problems. Pydantic puts the path of the validator's own field before the path of each.
        kind: The type of the error's lines.

    Returns:
        The error.
    """
    return _error((_line(kind, path, why) for path, why in problems), "request")


def retold(error: ValidationError, data: object, *, stranger: Callable[[str], str], path_in: PathIn) -> ValidationError:
    """Report the problems of an error by the paths that the author wrote.

    Pydantic puts the names of the members of its unions into the paths (`messages.0.user.content.parts.1.image.url`),
    and the value that should have named a member into the message.

    Args:
        error: The error of pydantic.
        data: What was validated.
        stranger: Says why there is no field of a name.
        path_in: Finds a field that was translated before it was validated.

    Returns:
        A new error with the same problems.
    """
    lines = cast("list[dict[str, Any]]", error.errors())
    return _error((_retold(line, data, stranger, path_in) for line in lines), error.title)


def described(error: ValidationError) -> str:
    """Describe an error on one line.

    Args:
        error: The error of pydantic.

    Returns:
        The paths of the fields and the rules that they break, without the values.
    """
    return "; ".join(str(Problem(line["loc"], line["msg"])) for line in error.errors())


def _retold(line: dict[str, Any], data: object, stranger: Callable[[str], str], path_in: PathIn) -> InitErrorDetails:
    path, why = _path(line["loc"], data, path_in, is_missing=line["type"] == "missing"), line["msg"]
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


def _path(loc: Path, data: object, path_in: PathIn, *, is_missing: bool) -> Path:
    """Omit the steps of a path that are not keys of the data, except for the key that is missing."""
    path: list[str | int] = []
    here = data
    for place, step in enumerate(loc, start=1):
        is_last = is_missing and place == len(loc)
        steps: Path = (step,) if is_last or _has(here, step) else ()
        if not _has(here, step):
            steps = path_in(here, step, is_missing=is_last) or steps
        for each in steps:
            here = cast("Any", here)[each] if _has(here, each) else None
        path += steps
    return tuple(path)


def _has(here: object, step: str | int) -> bool:
    if isinstance(here, dict):
        return step in here
    return isinstance(step, int) and isinstance(here, Sequence)


def _line(kind: Any, path: Path, why: str, value: object = None) -> InitErrorDetails:
    # The text is passed as an argument, because pydantic would replace braces in a template.
    error = PydanticCustomError(kind, "{why}", {"why": why})
    return InitErrorDetails(type=error, loc=path, input=value)


def _error(lines: Iterable[InitErrorDetails], title: str) -> ValidationError:
    return ValidationError.from_exception_data(title, list(islice(lines, MAX_PROBLEMS)))
