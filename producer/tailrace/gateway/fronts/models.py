"""The routes of models, in the form of OpenAI's API, or of Anthropic's if the request has `anthropic-version`."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tailrace.gateway.error_forms import asks_for_anthropic
from tailrace.gateway.fronts.errors import failures
from tailrace.gateway.jobs import Shared, Writer
from tailrace.gateway.model_table import ListedModel

router: APIRouter = APIRouter(prefix="/v1/models", tags=["models"])

_UNKNOWN_TIME: Final = "1970-01-01T00:00:00Z"
"""What Anthropic's API says of a model whose release date is not known."""


@router.get("", summary="List models", response_class=JSONResponse, responses=failures(401, 503))
async def list_models(request: Request, gateway: Shared, _: Writer) -> Response:
    """List the names in `TAILRACE_MODELS` that are no patterns.

    `provider/model` can be asked for too, with the names of `GET /v1/providers` and each model of the provider.
    """
    listed = list(gateway.models.table.listed())
    if not asks_for_anthropic(request.scope):
        return JSONResponse({"object": "list", "data": [_openai(model) for model in listed]})
    names = [model.name for model in listed]
    ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
    return JSONResponse({"data": [_anthropic(model) for model in listed], "has_more": False, **ends})


@router.get("/{name:path}", summary="Look at a model", response_class=JSONResponse, responses=failures(401, 404, 503))
async def look_at(
    request: Request,
    gateway: Shared,
    _: Writer,
    name: Annotated[str, Path(description="A name that can be asked for.", examples=["openai/gpt-5-mini"])],
) -> Response:
    """Return a model that can be asked for, also one whose name fits a pattern or is `provider/model`."""
    entry = (await gateway.models.find(name))[1]
    model = ListedModel(name, entry.provider)
    return JSONResponse(_anthropic(model) if asks_for_anthropic(request.scope) else _openai(model))


def _openai(model: ListedModel) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": 0, "owned_by": model.provider}


def _anthropic(model: ListedModel) -> dict[str, Any]:
    said = {"type": "model", "id": model.name, "display_name": model.name, "created_at": _UNKNOWN_TIME}
    return {**said, "lifecycle": "active"}
