"""`Translation`: a client's request as the fields of a job, and the job in the form of the client's API."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from tailrace import Job
from tailrace.api_kinds import ApiKind
from tailrace.encoders import Encoder
from tailrace.gateway.fronts.form import JobForm
from tailrace.gateway.fronts.given_body import read_as

_Body = TypeVar("_Body", bound=BaseModel)
_Encoder = TypeVar("_Encoder", bound=Encoder)

Path: TypeAlias = tuple[int | str, ...]
"""Where a field stands in a request."""


def _same(path: Path) -> Path:
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A client's request as the fields of a job."""

    fields: Mapping[str, Any]
    """The fields of a generation request, but for those that the table of models decides."""
    max_output_tokens: int | None
    """How many tokens the client asks for at most."""
    names: Mapping[str, str]
    """The names that the protocol has for fields of a generation request, for messages."""
    path_of: Callable[[Path], Path] = _same
    """Returns the path in the client's request from that in a generation request, for messages."""
    remembered: Mapping[str, Any] | None = None
    """What the job remembers of the client's request, so that every gateway can repeat it."""


class Translation(ABC, Generic[_Body, _Encoder]):
    """Translates one request. Its fields are validated only if it is translated, and not if it is sent verbatim.

    Args:
        kind: The class with the fields.
        given: The request.
    """

    def __init__(self, kind: type[_Body], given: Mapping[str, Any]) -> None:
        self._kind = kind
        self._given = given

    @cached_property
    def body(self) -> _Body:
        """The fields of the request.

        Raises:
            InvalidRequest: A field is not valid. The message names it.
        """
        return read_as(self._kind, self._given)

    @abstractmethod
    async def fields_for(self, provider: str, kind: ApiKind | None) -> Translated:
        """Translate the request.

        Args:
            provider: The provider that the name of the model stands for.
            kind: The API that the provider speaks; `None` if it is not known.

        Returns:
            The request as the fields of a job.

        Raises:
            InvalidRequest: A field is not valid, or cannot be carried. The message names it.
            JobNotFound: The request continues a response that is gone.
        """

    @abstractmethod
    async def form_of(self, job: Job) -> JobForm[_Encoder]:
        """Return how the job of the request is shown.

        Args:
            job: The job.

        Returns:
            The form.

        Raises:
            JobNotFound: The job has no record.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
