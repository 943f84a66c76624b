"""What becomes of the fields of a request that no field of a job carries: accepted, passed on, or refused by name."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from tailrace import InvalidRequest
from tailrace.api_kinds import ApiKind

Meaningless: TypeAlias = Callable[[Any], bool]
"""Tells whether a value of a field changes nothing here."""


class Target(NamedTuple):
    """The provider that is called."""

    name: str
    """Its name."""
    kind: ApiKind
    """The API that it speaks, as far as is known."""


def anything(_: Any) -> bool:
    """Accept every value: the field changes no answer. A provider that knows the field gets it."""
    return True


def one_of(*values: Any) -> Meaningless:
    """Accept these values, which ask for what happens anyway.

    Args:
        values: The values. `None` is always one: it means that the field is not given.
    """
    # True equals 1 in Python, but not in JSON.
    return lambda value: any(type(value) is type(each) and value == each for each in values)


def passed_on(
    fields: Mapping[str, Any], *, accepted: Mapping[str, Meaningless], extra: Collection[str], target: Target
) -> dict[str, Any]:
    """Sort the fields that a front does not translate.

    Args:
        fields: The fields by name, without those that the front translates.
        accepted: The fields that may be given although they mean nothing here, if the value does.
        extra: The fields that the provider gets as they are.
        target: The provider, for the message.

    Returns:
        The fields for the `extra` of a request.

    Raises:
        InvalidRequest: A field means something, and can neither be carried nor passed on. The message names all of
            them.
    """
    passed: dict[str, Any] = {}
    refused: list[str] = []
    for name, value in fields.items():
        changes_nothing = accepted.get(name)
        if value is None or (changes_nothing not in (None, anything) and changes_nothing(value)):
            continue
        if name in extra:
            passed[name] = value
        elif changes_nothing is None or not changes_nothing(value):
            refused.append(name)
    if refused:
        raise not_carried(*refused, target=target)
    return passed


def not_carried(*names: str, target: Target) -> InvalidRequest:
    """Return the error that names the fields which a provider cannot get.

    Args:
        *names: The client's names of the fields.
        target: The provider.
    """
    why = f"a job for the provider {target.name!r} cannot carry it. Omit it"
    return InvalidRequest("; ".join(f"{name}: {why}" for name in names))


def without(fields: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the fields that are not among some.

    Args:
        fields: The fields by name.
        names: The names to leave out.
    """
    left_out = frozenset(names)
    return {name: value for name, value in fields.items() if name not in left_out}
