"""OpenAI's own form of messages and tools, of Chat Completions and of Responses.

A message or tool that means the same in a request is translated before the request is validated. Otherwise the error
says what to write instead. Problems are reported by the path in OpenAI's form: see `path_in`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn, TypeAlias, cast

from tailrace.request.validation import Path, Problem, refusal

_Fields: TypeAlias = dict[str, Any]

_AUDIO: Final = "a tailrace job cannot carry audio: send text"
_FILE_ID: Final = "a tailrace job cannot refer to a file that the provider stores: send its data or its URL"
_DETAIL: Final = "images have no `detail` in tailrace: omit it"
_IMAGE: Final = 'has no `image_url` with a `url`: write {"type": "image", "url": …}'
_FILE: Final = 'has no `file` with `file_data`: write {"type": "document", "data": …, "media_type": "application/pdf"}'
_NAME: Final = "messages have no `name` in tailrace: say in the `content` who speaks"
_OBJECT: Final = "messages are dicts: pass the `model_dump()` of this object"
_TOOL_TYPE: Final = "only `function` is supported: put other tools of the provider into `extra`, as its `tools`"
_CHOICE_TYPE: Final = (
    "only `function` is supported: put other choices of the provider into `extra`, as its `tool_choice`"
)
_CALL_TYPE: Final = "only calls of a `function` can be sent back"
_FUNCTION_ROLE: Final = "this role is obsolete: use `tool`, with the `tool_call_id`"
_FUNCTION_CALL: Final = "this field is obsolete: use `tool_calls`"
_ITEMS: Final[Mapping[object, str]] = {
    "function_call": "this is an item of Responses: use `tool_calls` in a message of the role `assistant`",
    "function_call_output": "this is an item of Responses: use a message of the role `tool`, with the `tool_call_id`",
    "reasoning": "this is an item of Responses: use `answer.message`, which contains the reasoning",
}
_OUTPUTS_ONLY: Final = frozenset({"annotations"})
"""Fields that only answers of OpenAI have."""
_NULLABLE: Final = frozenset({"content", "refusal", "tool_calls", "function_call", "audio", "name"})

_WRITTEN: Final[Mapping[str | int, tuple[Path, ...]]] = {
    "name": (("function", "name"), ("file", "filename"), ("filename",)),
    "description": (("function", "description"),),
    "parameters": (("function", "parameters"),),
    "strict": (("function", "strict"),),
    "arguments": (("function", "arguments"),),
    "url": (("image_url", "url"), ("image_url",), ("file_url",)),
    "data": (("image_url", "url"), ("file", "file_data"), ("image_url",), ("file_data",)),
    "media_type": (("image_url", "url"), ("file", "file_data"), ("image_url",), ("file_data",)),
}
"""The fields that are translated, and where they can stand in OpenAI's form."""


def path_in(form: object, step: str | int, *, is_missing: bool) -> Path:
    """Find a field of a request in what its author wrote in OpenAI's form.

    Args:
        form: What the author wrote in place of an object that has the field.
        step: The name of the field.
        is_missing: True if the author omitted the field.

    Returns:
        The path of the field, or `()` if OpenAI's form has no place for it.
    """
    for path in _WRITTEN.get(step, ()):
        here: object = form
        for name in path[:-1] if is_missing else path:
            here = (_fields(here) or {}).get(str(name))
        if here is not None and (not is_missing or len(path) > 1):
            return path
    return ()


def message(value: object) -> object:
    """Translate a message from OpenAI's form.

    Args:
        value: A message in OpenAI's form, or anything else.

    Returns:
        The message in the form of a request; anything else unchanged.

    Raises:
        pydantic.ValidationError: The message has content that a request cannot carry.
    """
    fields = _fields(value)
    if fields is None:
        if hasattr(value, "model_dump"):
            _refuse((), _OBJECT)
        return value
    role, kind = fields.get("role"), fields.get("type")
    if role is None and isinstance(kind, str) and kind in _ITEMS:
        _refuse(("type",), _ITEMS[kind])
    if kind == "message":
        fields = _without(fields, "type")
    match role:
        case "assistant":
            return _assistant(fields)
        case "function":
            _refuse(("role",), _FUNCTION_ROLE)
        case "tool":
            # The id of the call names the function.
            fields = _without(fields, "name")
        case "developer" | "system" | "user":
            if fields.get("name") is not None:
                _refuse(("name",), _NAME)
            fields = {**_without(fields, "name"), "role": "user" if role == "user" else "system"}
        case _:
            pass
    return _with_parts(fields)


def tool(value: object) -> object:
    """Translate a tool from OpenAI's form.

    Args:
        value: A tool in OpenAI's form, or anything else.

    Returns:
        The tool in the form of a request; anything else unchanged.

    Raises:
        pydantic.ValidationError: The tool is not a function.
    """
    function = _typed_function(value, _TOOL_TYPE)
    return value if function is None else {name: given for name, given in function.items() if given is not None}


def tool_choice(value: object) -> object:
    """Translate a tool choice from OpenAI's form.

    Args:
        value: A choice in OpenAI's form, or anything else.

    Returns:
        The choice in the form of a request; anything else unchanged.

    Raises:
        pydantic.ValidationError: The choice is not a function.
    """
    function = _typed_function(value, _CHOICE_TYPE)
    return value if function is None else function


def _typed_function(value: object, hint: str) -> _Fields | None:
    """Return the function of what OpenAI gives a type; None for what has no type. Any other type is refused."""
    fields = _fields(value)
    if fields is None or "type" not in fields:
        return None
    if fields["type"] != "function":
        _refuse(("type",), hint)
    return _function(fields)


def _assistant(fields: _Fields) -> _Fields:
    fields = {
        name: value
        for name, value in fields.items()
        if name not in _OUTPUTS_ONLY and not (value is None and name in _NULLABLE)
    }
    if "audio" in fields:
        _refuse(("audio",), _AUDIO)
    if "function_call" in fields:
        _refuse(("function_call",), _FUNCTION_CALL)
    if "name" in fields:
        _refuse(("name",), _NAME)
    content, refused = _joined(fields.get("content", "")), fields.get("refusal")
    if isinstance(content, str) and isinstance(refused, str):
        content += refused
        fields = _without(fields, "refusal")
    if content or "content" in fields:
        fields = {**fields, "content": content}
    calls = fields.get("tool_calls")
    if isinstance(calls, list):
        fields = {**fields, "tool_calls": list(_calls(cast("list[object]", calls)))}
    return fields


def _joined(content: Any) -> Any:
    """Join the text of an answer that is given in parts. Anything else is returned unchanged."""
    if not isinstance(content, list):
        return content
    texts: list[str] = []
    for part in cast("list[object]", content):
        match part:
            case {"type": "text" | "output_text", "text": str() as text}:
                texts.append(text)
            case {"type": "refusal", "refusal": str() as text}:
                texts.append(text)
            case _:
                return cast("Any", content)
    return "".join(texts)


def _calls(calls: list[object]) -> Iterator[object]:
    for index, call in enumerate(calls):
        fields = _fields(call)
        if fields is not None and fields.get("type", "function") != "function":
            _refuse(("tool_calls", index, "type"), _CALL_TYPE)
        yield call if fields is None else _function(fields)


def _function(fields: _Fields) -> _Fields:
    """Return the fields inside `function`, or those beside the `type`."""
    function = fields.get("function")
    if isinstance(function, dict):
        return {**_without(fields, "type", "function"), **cast("_Fields", function)}
    return _without(fields, "type")


def _with_parts(fields: _Fields) -> _Fields:
    content = fields.get("content")
    if not isinstance(content, list):
        return fields
    parts = [_part(part, ("content", index)) for index, part in enumerate(cast("list[object]", content))]
    return {**fields, "content": parts}


def _part(part: object, path: Path) -> object:
    match fields := _fields(part):
        case None:
            return part
        case {"type": "input_text"}:
            return {**fields, "type": "text"}
        case {"type": "image_url", "image_url": dict()}:
            return _image({**_without(fields, "image_url"), **fields["image_url"]}, "url", (*path, "image_url"))
        case {"type": "input_image"}:
            return _image(fields, "image_url", path)
        case {"type": "file", "file": dict()}:
            return _document({**_without(fields, "file"), **fields["file"]}, (*path, "file"))
        case {"type": "input_file"}:
            return _document(fields, path)
        case {"type": "image_url"}:
            _refuse((*path, "type"), _IMAGE)
        case {"type": "file"}:
            _refuse((*path, "type"), _FILE)
        case {"type": "input_audio"}:
            _refuse((*path, "type"), _AUDIO)
        case _:
            pass
    return fields


def _image(fields: _Fields, url: str, path: Path) -> _Fields:
    if fields.get("file_id") is not None:
        _refuse((*path, "file_id"), _FILE_ID)
    if fields.get("detail") not in (None, "auto"):
        _refuse((*path, "detail"), _DETAIL)
    image = {**_without(fields, "file_id", "detail", url), "type": "image"}
    return image if fields.get(url) is None else image | _source(fields[url], "url")


def _document(fields: _Fields, path: Path) -> _Fields:
    if fields.get("file_id") is not None:
        _refuse((*path, "file_id"), _FILE_ID)
    document = {**_without(fields, "file_id", "filename", "file_url", "file_data"), "type": "document"}
    if fields.get("filename") is not None:
        document["name"] = fields["filename"]
    if fields.get("file_url") is not None:
        document["url"] = fields["file_url"]
    if fields.get("file_data") is not None:
        document |= _source(fields["file_data"], "data")
    return document


def _source(value: object, field: str) -> _Fields:
    """Return the `data` and `media_type` of a data URL, and anything else under the name of the field."""
    if isinstance(value, str) and value.startswith("data:"):
        head, _, data = value.partition(",")
        if head.endswith(";base64"):
            return {"data": data, "media_type": head.removeprefix("data:").removesuffix(";base64")}
    return {field: value}


def _fields(value: object) -> _Fields | None:
    return cast("_Fields", value) if isinstance(value, dict) else None


def _without(fields: _Fields, *names: str) -> _Fields:
    return {name: value for name, value in fields.items() if name not in names}


def _refuse(path: Path, why: str) -> NoReturn:
    # A later version may accept it: a stored request with it counts as newer, not as invalid.
    raise refusal([Problem(path, why)], kind="extra_forbidden")
