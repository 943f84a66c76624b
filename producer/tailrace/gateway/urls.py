"""The URLs that a client gets with a new job."""

from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request

from tailrace.gateway.capabilities import Capabilities
from tailrace.gateway.principal import Principal, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUrls:
    """The URLs with which a browser reads and cancels a job and its conversation."""

    events_url: str
    """The URL of the job's events."""
    cancel_url: str
    """The URL that cancels the job."""
    stream_url: str | None = None
    """The URL of the conversation's events, if the job belongs to one."""
    stop_url: str | None = None
    """The URL that stops the conversation."""
    expires_at: int | None = None
    """When the tokens of the URLs expire, in Unix seconds; `None` if they have none."""


async def job_urls(
    request: Request, capabilities: Capabilities, principal: Principal, job_id: str, conversation: str | None
) -> JobUrls:
    """Make the URLs of a job, as paths on the host of the request.

    Args:
        request: The request to which the URLs are returned.
        capabilities: Signs the tokens.
        principal: Who made the request. The URLs have tokens if it has an API key.
        job_id: The job.
        conversation: The conversation of the job, if it belongs to one.

    Returns:
        The URLs. They begin with the path at which the gateway is mounted.

    Raises:
        BrokerUnavailable: Redis has the signing key, and cannot be reached.
        BrokerRefused: Redis has the signing key, and refused.
    """
    root = f"{request.scope.get('root_path', '')}/v1"
    key_id, expires_at = principal.key_id, capabilities.expires_at()

    async def signed(path: str, scope: Scope, **of: str) -> str:
        if key_id is None:
            return f"{root}{path}"
        token = await capabilities.sign(
            tenant=principal.tenant,
            key_id=key_id,
            scope=scope,
            expires_at=expires_at,
            job_id=of.get("job"),
            conversation=of.get("conversation"),
        )
        return f"{root}{path}?token={token}"

    events_url = await signed(f"/jobs/{job_id}/events", Scope.READ, job=job_id)
    cancel_url = await signed(f"/jobs/{job_id}/cancel", Scope.CANCEL, job=job_id)
    stream_url = stop_url = None
    # In a path, a slash ends an id even if it is encoded, and browsers resolve dots.
    if conversation is not None and "/" not in conversation and conversation not in {".", ".."}:
        at = f"/conversations/{quote(conversation, safe='')}"
        stream_url = await signed(f"{at}/stream", Scope.READ, conversation=conversation)
        stop_url = await signed(f"{at}/stop", Scope.CANCEL, conversation=conversation)
    return JobUrls(
        events_url=events_url,
        cancel_url=cancel_url,
        stream_url=stream_url,
        stop_url=stop_url,
        expires_at=None if key_id is None else expires_at,
    )
