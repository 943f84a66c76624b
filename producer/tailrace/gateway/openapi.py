"""The OpenAPI document: what FastAPI finds, the events, and the ways to authenticate."""

import json
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tailrace import event_json_schema

_OPENAPI: Final = "3.2.0"
"""The first version with `itemSchema`, which describes the events of a stream."""
_DESCRIPTION: Final = """\
LLM generations that outlive the web request. `POST /v1/jobs` enqueues a job and returns its id at once. Any number of
clients can read the events of a job, from any position up to its ending, and can cancel the job.

Every error is `{"error": {"code": …, "message": …}}`, except on the routes of the APIs of OpenAI and Anthropic. Later
versions may add fields, event types and error codes, so clients have to skip those that they do not know.
"""
_SECURITY: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer trk_…`."},
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same API key in another header.",
    },
    "token": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "The signed, short-lived token of a URL that `POST /v1/jobs` returned. Only the routes that end "
        "with `/events`, `/stream`, `/cancel` and `/stop` accept it.",
    },
}


def describe(app: FastAPI) -> None:
    """Let an application serve its document at `/openapi.json`.

    Args:
        app: The gateway.
    """

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version=_OPENAPI,
        description=_DESCRIPTION,
        routes=app.routes,
    )
    schemas = document["components"]["schemas"]
    # Its references have to lead to the components of this document.
    events = json.loads(json.dumps(event_json_schema()).replace("#/$defs/", "#/components/schemas/"))
    schemas.update(events.pop("$defs"))
    del events["$schema"]
    schemas["Event"] = events
    document["components"]["securitySchemes"] = _SECURITY
    # No credentials are needed where no API keys are configured.
    document["security"] = [{}, *({name: []} for name in _SECURITY)]
    _drop_validation(document)
    return document


def _drop_validation(document: dict[str, Any]) -> None:
    """Remove the responses 422 that FastAPI adds: such errors are 400 here."""
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
