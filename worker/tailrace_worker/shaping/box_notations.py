"""The notations in which models write bounding boxes.

- `[1, 2, 3, 4]` anywhere in a text, or under a JSON key, as Qwen (`bbox_2d`), GLM (`bbox_2d`) and others write it
- Gemini: the same under `box_2d`, with a scale of 1000 and y first
- Qwen: `<|object_ref_start|>cat<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>`
- InternVL: `<ref>cat</ref><box>[[1, 2, 3, 4]]</box>`, with a scale of 1000
- DeepSeek: `<|ref|>cat<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>`, with a scale of 999
- GLM: `<|begin_of_box|>[[1, 2, 3, 4]]<|end_of_box|>`, with a scale of 1000, and the same tag around JSON
- PaliGemma: `<loc0002><loc0001><loc0004><loc0003> cat`, with a scale of 1024 and y first
"""

import json
import re
from typing import Final

import regex

from tailrace.events import Box
from tailrace_worker.shaping.markdown_code import TICKS

_NUMBER: Final = r"(?P<number>[-+]?(?:[0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12}))"
_COMMA: Final = r"(?:\s{0,16},\s{0,16}|\s{1,16})"
_LIST: Final = rf"\[\s{{0,16}}{_NUMBER}(?:{_COMMA}{_NUMBER}){{3}}\s{{0,16}}\]"
_OPENING: Final = r"<(?:b?box(?:\s[^<>\n]{0,100})?|\|(?:box_start|det|begin_of_box)\|)>"
_CLOSING: Final = r"<(?:/b?box|\|(?:box_end|/det|end_of_box)\|)>"
_TAG: Final = (
    rf"(?P<opening>{_OPENING})"
    rf"[\s\[(]{{0,8}}{_NUMBER}(?:[\s,;()]{{1,8}}{_NUMBER}){{3}}[\s\])]{{0,8}}"
    rf"{_CLOSING}"
)
_LOCATIONS: Final = r"(?P<locations>(?:<loc(?P<number>[0-9]{4})>){4})"
_QUOTED: Final = r""""(?:[^"\\\n]|\\.){0,100}"|'[^'\n]{0,100}'"""
_NAME: Final = rf"""["'](?:label|name|class|category)["']\s{{0,16}}:\s{{0,16}}(?P<name>{_QUOTED})"""

TOKEN: Final = regex.compile(rf"(?P<box>{_LIST}|{_TAG}|{_LOCATIONS})|(?P<ticks>{TICKS})|{_NAME}")
EDGE: Final = regex.compile(rf"(?P<opening>{_OPENING})|{_CLOSING}")
"""The beginning or end of a tag that is not a token, because it does not hold exactly one box.

Both patterns are bounded in length, so the text that is held back is bounded too.
"""
_DOUBLE_LIST: Final = re.compile(r"\s*\[\s*\[")
_GEMINI_KEY: Final = "box_2d"


def read_box(token: regex.Match[str], start: int, *, key: str | None, tag_scale: int | None) -> Box | None:
    """Return the box of a token, without its label; `None` if its corners are in the wrong order.

    Args:
        token: A match of `TOKEN` with the group `box`.
        start: The position of the token in the whole text.
        key: The JSON key of the box.
        tag_scale: The scale of the tag around the box.
    """
    numbers = [float(number) for number in token.captures("number")]
    if token["locations"] or key == _GEMINI_KEY:
        numbers = [numbers[1], numbers[0], numbers[3], numbers[2]]
    x1, y1, x2, y2 = numbers
    if x2 < x1 or y2 < y1:
        return None
    if token["locations"]:
        scale: int | None = 1024
    elif token["opening"]:
        scale = scale_of(token)
    else:
        scale = 1000 if key == _GEMINI_KEY else tag_scale
    if all(0 <= number <= 1 for number in numbers) and not all(map(float.is_integer, numbers)):
        scale = 1
    elif scale and not all(0 <= number <= scale for number in numbers):
        scale = None
    return Box(x1=x1, y1=y1, x2=x2, y2=y2, start=start, end=start + len(token[0]), scale=scale)


def scale_of(tag: regex.Match[str]) -> int | None:
    """Return the scale of the numbers in a tag, or `None` if the tag implies none."""
    match tag["opening"]:
        case "<|det|>":
            return 999
        case "<|begin_of_box|>":
            return 1000
        case "<box>" if _DOUBLE_LIST.match(tag.string, tag.end("opening")):
            return 1000
        case _:
            return None


def read_name(token: regex.Match[str]) -> str | None:
    """Return the label that a token with the group `name` gives the boxes of its JSON object."""
    quoted: str = token["name"]
    try:
        label: str = json.loads(quoted) if quoted.startswith('"') else quoted[1:-1]
    except ValueError:
        label = quoted[1:-1]
    return label.strip() or None
