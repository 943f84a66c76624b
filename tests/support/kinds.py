"""What an SDK's union of types can be."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin


def kinds_of(union: Any) -> Iterator[str]:
    """The `type` of each of its members."""
    if get_origin(union) is Annotated:
        union = get_args(union)[0]
    for member in get_args(union):
        yield from get_args(member.model_fields["type"].annotation)
