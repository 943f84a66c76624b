"""`json_response`: an object of the public API as a response."""

from starlette.responses import Response

from tailrace.gateway.errors import JOB_HEADER
from tailrace.gateway.job_object import Public


def json_response(content: Public, *, status: int = 200, job_id: str | None = None) -> Response:
    """Make the response of a route.

    Args:
        content: What to return. Fields that have no value are left out.
        status: The HTTP status.
        job_id: The job that the response is about, for its header.

    Returns:
        The response.
    """
    # No cache keeps answers and signed URLs.
    headers = {"Cache-Control": "no-store"} if job_id is None else {"Cache-Control": "no-store", JOB_HEADER: job_id}
    return Response(content.to_json(), status, headers, media_type="application/json")
