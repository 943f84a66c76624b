"""Bodies as clients sent them: OpenAPI describes their fields, and only a translation validates them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tailrace import InvalidRequest
from tailrace.gateway.errors import described

_Body = TypeVar("_Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class DescribedBy:
    """Annotates a body that may have any fields, and that OpenAPI describes by the fields of a class."""

    body: type[BaseModel]
    """The class with the fields."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self.body.__pydantic_core_schema__)


def read_as(kind: type[_Body], body: Mapping[str, Any]) -> _Body:
    """Read the fields of a body.

    Args:
        kind: The class with the fields.
        body: The body as the client sent it.

    Returns:
        The fields.

    Raises:
        InvalidRequest: A field is not valid. The message names it.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise InvalidRequest(described(error.errors())) from None
