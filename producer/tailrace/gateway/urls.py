"""The URLs that a client gets with a new job."""

from dataclasses import dataclass

from starlette.requests import Request

from tailrace.gateway.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUrls:
    """Where a browser reads and stops a job."""

    events_url: str
    """Where the events are."""
    cancel_url: str
    """Where the job is stopped."""
    expires_at: int | None = None
    """When the tokens of the URLs expire, in Unix seconds; `None` if they have none."""


def job_urls(request: Request, principal: Principal, job_id: str) -> JobUrls:  # noqa: ARG001
    """Make the URLs of a job, as paths on the host of the request.

    Args:
        request: The request that they are an answer to.
        principal: Who made it.
        job_id: The job.

    Returns:
        The URLs, below the path at which the gateway is mounted.
    """
    job = f"{request.scope.get('root_path', '')}/v1/jobs/{job_id}"
    return JobUrls(events_url=f"{job}/events", cancel_url=f"{job}/cancel")
