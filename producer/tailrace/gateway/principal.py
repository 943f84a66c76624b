"""`Principal`: on whose behalf a request is made, and what it may do."""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from starlette.requests import Request

from tailrace import JobNotFound, JobStatus, KeyLimits
from tailrace.gateway.errors import Unauthorized

DEFAULT_TENANT: Final = "default"
"""The tenant of all jobs while no API keys are configured."""

_FOREIGN: Final = "The token of the URL is for another job or conversation."
_LOCAL_ONLY: Final = (
    "There are no API keys, so the gateway serves only the machine that it runs on. `tailrace keys create` makes one."
)
_FOREIGN_PAGE: Final = (
    "The page that sent this request is of another origin, and there are no API keys. TAILRACE_GATEWAY_CORS_ORIGINS "
    "names the origins whose pages may call the gateway."
)
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


class Scope(StrEnum):
    """The permission that a route needs."""

    READ = "read"
    """To see a job, its events and its conversation."""
    CANCEL = "cancel"
    """To stop a job, or what is active in a conversation."""
    WRITE = "write"
    """To enqueue, list and delete jobs. No capability includes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What the signed `token` of a URL allows, for one job or for one conversation."""

    scopes: frozenset[Scope]
    """The scopes that it allows."""
    expires_at: int
    """When it expires, in Unix seconds."""
    job_id: str | None = None
    """The id of the job; `None` if the token is for a conversation."""
    conversation: str | None = None
    """The id of the conversation, if the token is for all jobs of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who makes a request."""

    tenant: str
    """The tenant whose jobs it may see."""
    key_id: str | None = None
    """The id of the API key, or of the key for which the capability was signed; `None` while no keys are configured."""
    limits: KeyLimits | None = None
    """The limits of the API key."""
    capability: Capability | None = None
    """What the request is restricted to; `None` if it was made with an API key, or if no keys are configured."""

    def check_job_id(self, job_id: str) -> None:
        """Refuse a job for which the capability is not meant, before Redis is asked whether the job exists.

        Args:
            job_id: The id, as the client wrote it.

        Raises:
            Unauthorized: The capability is for another job.
        """
        capability = self.capability
        if capability is not None and capability.job_id not in {None, job_id}:
            raise Unauthorized(_FOREIGN)

    def check_job(self, status: JobStatus) -> None:
        """Refuse a job that the principal may not see.

        Args:
            status: The status of the job.

        Raises:
            JobNotFound: The job is another tenant's.
            Unauthorized: The capability is for another job or conversation.
        """
        if (status.tenant or DEFAULT_TENANT) != self.tenant:
            raise JobNotFound(f"Job {status.job_id!r} is not one of tenant {self.tenant!r}.")
        capability = self.capability
        if capability is not None and capability.job_id is None and capability.conversation != status.conversation:
            raise Unauthorized(_FOREIGN)

    def check_conversation(self, conversation: str) -> None:
        """Refuse a conversation that is not within the capability.

        Args:
            conversation: The id of a conversation of the principal's tenant.

        Raises:
            Unauthorized: The capability is for another job or conversation.
        """
        if self.capability is not None and self.capability.conversation != conversation:
            raise Unauthorized(_FOREIGN)


class Authenticator(Protocol):
    """Finds out who makes a request. `create_app` puts one into the gateway's context."""

    async def authenticate(self, request: Request, scope: Scope) -> Principal:
        """Find the principal of a request.

        Args:
            request: The request.
            scope: What the route needs.

        Returns:
            The principal, which has the scope.

        Raises:
            Unauthorized: The credentials are missing or wrong, have expired, or do not include the scope.
        """
        ...


class LoopbackOnly:
    """The authenticator while no API keys are configured: everyone on this machine is the default tenant.

    Args:
        origins: The origins whose pages may call the gateway, beside its own; `*` for all.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)

    async def authenticate(self, request: Request, scope: Scope) -> Principal:  # noqa: ARG002
        """Find the principal of a request.

        Args:
            request: The request.
            scope: What the route needs.

        Returns:
            The default tenant.

        Raises:
            Unauthorized: The request comes from another machine, names another host, or was sent by the page of
                another origin in order to change something.
        """
        if request.client is not None and not is_loopback(request.client.host):
            raise Unauthorized(_LOCAL_ONLY)
        # Otherwise a page of any site could call the gateway on the machine that shows the page, by changing the
        # address of the site's host to 127.0.0.1 (DNS rebinding).
        if not is_loopback(request.url.hostname or ""):
            raise Unauthorized(_LOCAL_ONLY)
        # Browsers send simple requests of any page; CORS only keeps the response from it. A key cannot be sent so.
        if request.method not in _SAFE_METHODS and not self._is_own_page(request):
            raise Unauthorized(_FOREIGN_PAGE)
        return Principal(tenant=DEFAULT_TENANT)

    def _is_own_page(self, request: Request) -> bool:
        origin = request.headers.get("origin")
        # Only browsers send an origin.
        if origin is None or not self._origins.isdisjoint({origin, "*"}):
            return True
        return origin.partition("://")[2] == request.headers.get("host")


def is_loopback(host: str) -> bool:
    """Return whether an address belongs to the machine itself.

    Args:
        host: An address, or the name `localhost`.
    """
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def require(scope: Scope) -> Callable[[Request], Awaitable[Principal]]:
    """Make the dependency of a route that needs a scope.

    Args:
        scope: What the route needs.

    Returns:
        A dependency for FastAPI that gives the route the principal, or raises `Unauthorized`.
    """

    async def authenticated(request: Request) -> Principal:
        authenticator: Authenticator = request.app.state.gateway.authenticator
        return await authenticator.authenticate(request, scope)

    return authenticated
