"""Boxes are found in a text however it is cut, and the text goes on unchanged."""

import asyncio
import pickle
import re
from collections.abc import AsyncGenerator, Iterable
from typing import TypeAlias

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailrace.events import Box, Delta, Notice, Reasoning, ToolCall
from tailrace_worker.providers.base import Piece, TokenCounts
from tailrace_worker.shaping.box_scanner import BoxScanner
from tailrace_worker.shaping.boxes import boxes
from tests.support.cutting import Cuts, cut, cuts
from tests.support.guarding import STOP
from tests.support.work import lines_run

Place: TypeAlias = tuple[float, float, float, float, int, int]

PARTS = (
    *("[1, 2, 3, 4]", "[10,20,30.5,40.]", "[ 1 2 3 4 ]", "[\n  1,\n  2,\n  3,\n  4\n]", "[-1, -2.5, +3, .5]"),
    *("[3, 2, 1, 4]", "[1, 4, 3, 2]", "[1, 2, 3, 4, 5]", "[1, 2, 3]", "[1e3, 2, 3, 4]", "[", "]", "1, 2, 3, 4", ", 5"),
    *("<box>", "</box>", "<bbox>", "</bbox>", '<box label="cow">', "(1,2),(3,4)", "<|box_start|>", "<|box_end|>"),
    *("<ref>cat</ref>", "<ref>", "{", "}", '"bbox": ', '"cat": ', '"label": "cat"', "'name': 'dog'", '"', "'"),
    *("<|det|>", "<|/det|>", "<|ref|>cat<|/ref|>", "<|begin_of_box|>", "<|end_of_box|>", "[1, 2, 3, 4], [5, 6, 7, 8]"),
    *("<loc0001><loc0002><loc0003><loc0004>", "<loc0002><loc0003>", "json", "json5 x", "python", "```json\n", "~~~\n"),
    *("`", "``", "```", "````", "~~~", "~~", "\n", "\r\n", "\n\n", "> ", "- ", "1. ", "  ", " "),
    *(
        "cat",
        "cat: ",
        "is at ",
        " dog",
        " (dog)",
        ", ",
        ". ",
        "| ",
        "**",
        "Bounding box: ",
        "a long way from any label",
    ),
)
texts = st.lists(st.sampled_from(PARTS), max_size=14).map("".join)


async def source(pieces: Iterable[Piece]) -> AsyncGenerator[Piece, None]:
    for piece in pieces:
        yield piece


def boxed(pieces: Iterable[Piece], *, said: str = "") -> list[Piece]:
    async def collect() -> list[Piece]:
        return [piece async for piece in boxes(source(pieces), said=said)]

    return asyncio.run(collect())


def found(chunks: Iterable[str]) -> list[Box]:
    """The boxes of a text that comes in chunks."""
    return [piece for piece in boxed(Delta(text=chunk) for chunk in chunks) if isinstance(piece, Box)]


def labels(text: str) -> list[str | None]:
    return [box.label for box in found([text])]


def places(text: str) -> list[Place]:
    """Where the boxes of a whole text are: what is code is blotted out, and what is left is searched once."""
    number = r"\s*[-+]?(?:\d+\.?\d*|\.\d+)\s*"
    between = rf"(?:,|(?<=\s)){number}"
    opening, closing = (
        r"<(?:b?box[^>]*|\|(?:box_start|det|begin_of_box)\|)>",
        r"<(?:/b?box|\|(?:box_end|/det|end_of_box)\|)>",
    )
    tag = rf"{opening}[\s\[(]*{number}(?:[\s,;()]+{number}){{3}}[\s\])]*{closing}|(?:<loc\d{{4}}>){{4}}"
    places: list[Place] = []
    for match in re.finditer(rf"\[{number}(?:{between}){{3}}\]|{tag}", without_code(text)):
        x1, y1, x2, y2 = map(float, re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)", match[0]))
        if match[0].startswith("<loc"):
            x1, y1, x2, y2 = y1, x1, y2, x2
        if x1 <= x2 and y1 <= y2:
            places.append((x1, y1, x2, y2, match.start(), match.end()))
    return places


def without_code(text: str) -> str:
    fence, is_json = "", False
    lines: list[str] = []
    whole = text.split("\n")
    for at, line in enumerate(whole):
        opening = re.match(r"[\s>]*(?:(?:[-+*]|\d+[.)])\s+)?(?:(```+)[^`]*$|(~~~+))", line)
        if fence:
            if re.fullmatch(rf"[\s>]*{re.escape(fence)}{fence[0]}*\s*", line):
                fence, is_json = "", False
            lines.append(line if is_json else "\0" * len(line))
        elif opening:
            fence = opening[1] or opening[2]
            language = line[opening.end(1) if opening[1] else opening.end(2) :]
            content = "\n".join(whole[at + 1 :]).lstrip("> \r\n") if not language.strip() else ""
            is_json = bool(re.match(r"\s*json[5cl]?(?![\w-])", language) or content.startswith(("[", "{")))
            lines.append("\0" * len(line))
        else:
            lines.append(re.sub(r"(?<!`)(`+)(?!`).*?(?:(?<!`)\1(?!`)|$)", lambda code: "\0" * len(code[0]), line))
    return "\n".join(lines)


@settings(deadline=None)
@given(texts, cuts)
@example("[1, 2, 3, 4] dog`", [1])
@example("[1, 2, 3, 4]<ref>[1, 2, 3, 4]<box>", [1])
@example("[1, 2, 3, 4]` dog[1, 2, 3, 4]", [1])
def test_the_boxes_are_those_of_the_whole_text_however_it_is_cut(text: str, lengths: Cuts) -> None:
    whole = found([text])
    assert [(box.x1, box.y1, box.x2, box.y2, box.start, box.end) for box in whole] == places(text)
    assert found(cut(text, lengths)) == whole
    assert found(text) == whole


@settings(deadline=None)
@given(st.text(st.sampled_from("[]1,. \n`~<box>/{}\"':label") | st.characters()), cuts)
def test_no_text_has_other_boxes_when_it_is_cut(text: str, lengths: Cuts) -> None:
    assert found(cut(text, lengths)) == found([text])


@settings(deadline=None)
@given(texts, cuts)
def test_the_text_goes_on_unchanged_and_the_boxes_behind_it(text: str, lengths: Cuts) -> None:
    said: list[Piece] = [Delta(text=chunk) for chunk in cut(text, lengths)]
    came = boxed([*said, TokenCounts(), STOP])
    assert [piece for piece in came if not isinstance(piece, Box)] == [*said, TokenCounts(), STOP]
    assert came[-1] == STOP
    read = 0
    for piece in came:
        if isinstance(piece, Delta):
            read += len(piece.text)
        elif isinstance(piece, Box):
            assert piece.end <= read


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("[10, 20, 30, 40]", "[10, 20, 30, 40]"),
        ("See [10,20,30,40].", "[10,20,30,40]"),
        ("See [10.0, 20.0 ,30., 40]", "[10.0, 20.0 ,30., 40]"),
        ("See [10 20 30 40]", "[10 20 30 40]"),
        ("See <box>10, 20, 30, 40</box>", "<box>10, 20, 30, 40</box>"),
        ("See <box>[10, 20, 30, 40]</box>", "<box>[10, 20, 30, 40]</box>"),
        ("See <bbox>10 20 30 40</bbox>", "<bbox>10 20 30 40</bbox>"),
        ("See <box>(10,20),(30,40)</box>", "<box>(10,20),(30,40)</box>"),
        ("See <|box_start|>(10,20),(30,40)<|box_end|>", "<|box_start|>(10,20),(30,40)<|box_end|>"),
        ('{"bbox": [10, 20, 30, 40]}', "[10, 20, 30, 40]"),
        ("{'bbox_2d': [\n10,\n20,\n30,\n40\n]}", "[\n10,\n20,\n30,\n40\n]"),
        ("🙂 [10, 20, 30, 40]", "[10, 20, 30, 40]"),
    ],
)
def test_a_box_is_found_in_any_of_the_usual_spellings(text: str, box: str) -> None:
    start = text.index(box)
    assert found([text]) == [Box(x1=10, y1=20, x2=30, y2=40, start=start, end=start + len(box))]


@pytest.mark.parametrize(
    "text",
    [
        *("[30, 20, 10, 40]", "[10, 40, 30, 20]", "<box>[30, 20, 10, 40]</box>", '{"box_2d": [10, 20, 5, 40]}'),
        *("[10, 20, 30, 40, 50]", "[10, 20, 30]", "[10, 20, [30, 40]]", "<box>10, 20, 30, 40, 50</box>"),
        *("(10, 20, 30, 40)", "10, 20, 30, 40", "[10, 20, 30, 4O]", "[10, 20, 30, 40", "[1,2,3,4e5]", "[10,,20,30,40]"),
        *("`[10, 20, 30, 40]`", "``a ` [10, 20, 30, 40]``", "`[10, 20, 30, 40]"),
        *("```py\n[10, 20, 30, 40]\n```", "```python\n[10, 20, 30, 40]", "- ~~~ `\n[10, 20, 30, 40]\n~~~"),
        *("````\n```\n[10, 20, 30, 40]\n````", "```\n``` x\n[10, 20, 30, 40]", "```[10, 20, 30, 40]```"),
        *(
            "```jsonnet\n[10, 20, 30, 40]\n```",
            "```\nbox = [10, 20, 30, 40]\n```",
            "> ```py\n> [10, 20, 30, 40]\n> ```",
        ),
        *("~~~py json\n[10, 20, 30, 40]\n~~~", "``` `json\n`[10, 20, 30, 40]`", "```json\n[]\n```\n`[10, 20, 30, 40]`"),
        *("```" + "x" * 200 + "\n[10, 20, 30, 40]", "<loc0010><loc0020><loc0005><loc0040>"),
    ],
)
def test_four_numbers_that_are_no_box_give_none(text: str) -> None:
    assert found([text]) == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "`x` [1, 2, 3, 4]",
            "```\n```\n[1, 2, 3, 4]",
            "```x``` [1, 2, 3, 4]",
            "```x```\n[1, 2, 3, 4]",
            "`\n[1, 2, 3, 4]",
            "    [1, 2, 3, 4]",
        ),
        *("~~~\n~~~~\n[1, 2, 3, 4]", "~~no~~ [1, 2, 3, 4]", "[9, 8, 7, 6] [1, 2, 3, 4]", "[[1, 2, 3, 4]]"),
        *("[1, 1, 1, 1, 1] [1, 2, 3, 4]", "<box>[1, 2, 3, 4] is it", "[1, 2, [1, 2, 3, 4]", "a[1, 2, 3, 4]"),
    ],
)
def test_what_stands_beside_does_not_hide_a_box(text: str) -> None:
    assert [(box.x1, box.y1, box.x2, box.y2) for box in found([text])] == [(1, 2, 3, 4)]


@pytest.mark.parametrize(
    "text",
    [
        *("```json\nBOXES\n```", "```JSON\nBOXES", "~~~json5\nBOXES\n~~~", "1. ```jsonc title=boxes\n   BOXES\n   ```"),
        *("````\n\n  BOXES\n````", "> ~~~\n> BOXES\n> ~~~", "```json\n`BOXES`\n```", "```json\n~~~\nBOXES\n```"),
    ],
)
@pytest.mark.parametrize(
    "keys", ['{"bbox_2d": [1, 2, 3, 4], "label": "cat"}', '{"label": "cat", "bbox_2d": [1, 2, 3, 4]}']
)
def test_a_fence_of_json_is_read_as_text_is(text: str, keys: str) -> None:
    boxes_ = found([text.replace("BOXES", f"[{keys}, {keys.replace('cat', 'dog')}]") + "\nend"])
    assert [(box.x1, box.y1, box.x2, box.y2, box.label) for box in boxes_] == [(1, 2, 3, 4, "cat"), (1, 2, 3, 4, "dog")]


def test_what_a_fence_of_json_leaves_open_ends_with_it() -> None:
    assert labels('```json\n{"label": "cat", "bbox": [1, 2, 3, 4]\n```\n[5, 6, 7, 8]\n') == ["cat", None]
    assert labels('{"label": "cat",\n```json\n[[5, 6, 7, 8]]\n```') == [None]


@pytest.mark.parametrize(
    ("text", "boxes_"),
    [
        ("<ref>a cat</ref><box>[[10, 20, 30, 40]]</box>", [("a cat", 10, 1000)]),
        ("<ref>cats</ref><box>[[10, 20, 30, 40], [50, 20, 60, 40]]</box>", [("cats", 10, 1000), ("cats", 50, 1000)]),
        (
            "<ref>cats</ref><box>[[10, 20, 30, 40],[50, 20, 60, 40]]</box> <ref>dog</ref><box>[[70, 20, 80, 40]]</box>",
            [("cats", 10, 1000), ("cats", 50, 1000), ("dog", 70, 1000)],
        ),
        ("<|ref|>a cat<|/ref|><|det|>[[10, 20, 30, 999]]<|/det|>", [("a cat", 10, 999)]),
        (
            (
                "<|ref|>cats<|/ref|><|det|>[[10, 20, 30, 40], [50, 20, 60, 40]]<|/det|>\n"
                "<|ref|>dog<|/ref|><|det|>[[70, 20, 80, 40]]<|/det|>"
            ),
            [("cats", 10, 999), ("cats", 50, 999), ("dog", 70, 999)],
        ),
        ("cat: <|begin_of_box|>[[10, 20, 30, 40]]<|end_of_box|>", [("cat", 10, 1000)]),
        ("It is at <|begin_of_box|>[10, 20, 30, 40]<|end_of_box|>.", [(None, 10, 1000)]),
        (
            "Cats: <|begin_of_box|>[[10, 20, 30, 40],\n[50, 20, 60, 40]]<|end_of_box|>",
            [("Cats", 10, 1000), ("Cats", 50, 1000)],
        ),
        (
            (
                '<|begin_of_box|>\n[{"label": "cat", "bbox_2d": [10, 20, 30, 40]},\n'
                '{"bbox_2d": [50, 20, 60, 40], "label": "dog"}]<|end_of_box|>'
            ),
            [("cat", 10, 1000), ("dog", 50, 1000)],
        ),
        ('[{"label": "cat", "bbox_2d": [10, 20, 30, 40]}]', [("cat", 10, None)]),
        ('{"box_2d": [20, 10, 40, 30], "label": "cat"}', [("cat", 10, 1000)]),
        (
            (
                '```json\n[{"box_2d": [20, 10, 40, 30], "label": "cat"},\n'
                '{"box_2d": [20, 50, 40, 60], "label": "dog"}]\n```'
            ),
            [("cat", 10, 1000), ("dog", 50, 1000)],
        ),
        ('{"box_2d": [20, 10, 40, 1001], "label": "cat"}', [("cat", 10, None)]),
        (
            "<loc0020><loc0010><loc0040><loc0030> cat ; <loc0020><loc0050><loc0040><loc1023> dog",
            [("cat", 10, 1024), ("dog", 50, 1024)],
        ),
        (
            "<|object_ref_start|>cats<|object_ref_end|><|box_start|>(10,20),(30,40)<|box_end|><|box_start|>(50,20),(60,40)<|box_end|>",
            [("cats", 10, None), ("cats", 50, None)],
        ),
        ("cat <box>10, 20, 30, 40</box>", [("cat", 10, None)]),
        ('<box label="cat">[[10, 20, 30, 40], [50, 20, 60, 40]]</box>', [("cat", 10, None), ("cat", 50, None)]),
        ("cat [0.1, 0.25, 0.5, 1]", [("cat", 0.1, 1)]),
        ('{"box_2d": [0.2, 0.1, 1.0, 0.3], "label": "cat"}', [("cat", 0.1, 1)]),
        ("cat [0, 0, 1, 1]", [("cat", 0, None)]),
        ("<|ref|>cat<|/ref|><|det|>[[0, 0, 1, 1]]<|/det|>", [("cat", 0, 999)]),
        ("cat [0.5, 20, 30, 40]", [("cat", 0.5, None)]),
        ("<|det|>[[10, 20, 30, 40]]\n\ncat: [50, 20, 60, 40]", [(None, 10, 999), ("cat", 50, None)]),
        ("<|det|> <box>10, 20, 30, 40</box>\n[50, 20, 60, 40]", [(None, 10, None), (None, 50, None)]),
        ("In <|begin_of_box|>4<|end_of_box|>, cat: [50, 20, 60, 40]", [("cat", 50, None)]),
        ("<box>10, 20, 30, 40</box><ref>dog</ref><box>50, 20, 60, 40</box>", [(None, 10, None), ("dog", 50, None)]),
    ],
)
def test_the_notations_of_models_tell_each_label_and_what_the_numbers_go_up_to(
    text: str, boxes_: list[tuple[str | None, float, int | None]]
) -> None:
    assert [(box.label, box.x1, box.scale) for box in found([text])] == boxes_
    assert found(text) == found([text])


@pytest.mark.parametrize(
    "text",
    [
        *(
            "cat: [1, 2, 3, 4]",
            "cat [1, 2, 3, 4]",
            "- cat [1, 2, 3, 4]",
            "2. **cat**: [1, 2, 3, 4]",
            "A **cat** [1, 2, 3, 4]",
        ),
        *('Two: "cat" [1, 2, 3, 4]', "`cat` = [1, 2, 3, 4]", "| cat | [1, 2, 3, 4] |", "cat <box>1, 2, 3, 4</box>"),
        *("cat -> [[1, 2, 3, 4]]", "See the dog; cat: [1, 2, 3, 4]", "Box 1: [1, 2, 3, 4] cat"),
        *(
            "[1, 2, 3, 4] cat",
            "[1, 2, 3, 4]: cat.",
            "1. [1, 2, 3, 4] - cat\n",
            "[1, 2, 3, 4] (cat)",
            '[1, 2, 3, 4] "cat"',
        ),
        *("| [1, 2, 3, 4] | cat |", "<box>1, 2, 3, 4</box> cat", "<box>1, 2, 3, 4</box><label>cat</label>"),
        *("<ref>cat</ref><box>(1,2),(3,4)</box>", '<box label="cat">1, 2, 3, 4</box>'),
        "A <|object_ref_start|>cat<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>",
        *('{"label": "cat", "bbox": [1, 2, 3, 4]}', '{"bbox": [1, 2, 3, 4], "label": "cat"}'),
        *('{"bbox": [1, 2, 3, 4],\n "score": 0.9,\n "label": "c\\u0061t"}', "{'name': 'cat', 'bbox': [1, 2, 3, 4]}"),
        *(
            '{"label": "cat", "boxes": [\n[1, 2, 3, 4]\n]}',
            '{"cat": [1, 2, 3, 4]}',
            '{"cat": [[1, 2, 3, 4]]}',
            '{"x": {"y": 1}, "bbox": [1, 2, 3, 4], "class": "cat"}',
        ),
    ],
)
def test_the_label_may_stand_before_the_box_or_behind_it(text: str) -> None:
    assert labels(text) == ["cat"]


@pytest.mark.parametrize(
    "text",
    [
        *("[1, 2, 3, 4]", "The cat is at [1, 2, 3, 4].", "Look at [1, 2, 3, 4] and run", "Bounding box: [1, 2, 3, 4]"),
        *("[1, 2, 3, 4] is the cat", "[1, 2, 3, 4] is what I could make out there, more or less", "Box 1 [1, 2, 3, 4]"),
        *('{"bbox": [1, 2, 3, 4]}, {"label": "cat"}', '{"label": "cat"}, {"bbox": [1, 2, 3, 4]}', "cat\n[1, 2, 3, 4]"),
        '{"bbox": [1, 2, 3, 4], "note": "' + "x" * 300 + '", "label": "cat"}',
    ],
)
def test_words_that_name_nothing_are_no_label(text: str) -> None:
    assert labels(text) == [None]


@pytest.mark.parametrize(
    "text",
    [
        *("cat [1, 2, 3, 4], dog [5, 6, 7, 8]", "[1, 2, 3, 4] cat, [5, 6, 7, 8] dog", "cat: [1,2,3,4]\ndog: [5,6,7,8]"),
        '[{"bbox": [1, 2, 3, 4], "label": "cat"}, {"bbox": [5, 6, 7, 8], "label": "dog"}]',
        '{"cat": [1, 2, 3, 4], "dog": [5, 6, 7, 8]}',
        '{"cat": [1, 2, 3, 4], "bbox": [5, 6, 7, 8], "label": "dog"}',
        "<ref>cat</ref><box>1, 2, 3, 4</box><ref>dog</ref><box>5, 6, 7, 8</box>",
    ],
)
def test_each_box_has_its_own_label(text: str) -> None:
    assert labels(text) == ["cat", "dog"]


def test_boxes_come_in_the_order_of_the_text() -> None:
    assert labels('{"bbox": [1, 2, 3, 4], "cat": [5, 6, 7, 8], "label": "dog"}') == [None, "cat"]


@pytest.mark.parametrize(
    ("chunks", "before"),
    [
        (["See [1, 2", ", 3, 4", "]", " there"], 3),
        (["cat: [1, 2, 3, 4], [5", "!"], 1),
        (["[1, 2, 3, 4", "]", " c", "at", ".", " So"], 5),
        (["[1, 2, 3, 4", "]", "\n", "So"], 3),
        (['{"bbox": [1, 2, 3, 4]', ', "label": "', 'cat"', "}"], 3),
        (['{"bbox": [1, 2, 3, 4]', "}", "!"], 2),
        (["<box>1, 2, 3, 4</box", ">: cat", "\n", "!"], 3),
        (["[1, 2, 3, 4] cat"], 1),
    ],
)
def test_a_box_comes_right_behind_the_piece_that_makes_it_known(chunks: list[str], before: int) -> None:
    came = boxed(Delta(text=chunk) for chunk in chunks)
    assert [isinstance(piece, Box) for piece in came].index(True) == before


def test_boxes_are_found_in_the_answer_alone_and_not_across_a_tool_call() -> None:
    call, stop = ToolCall(index=0), STOP
    came = boxed(
        [
            Reasoning(text="[1, 2, 3, 4]"),
            Delta(text="[1, 2"),
            TokenCounts(output_tokens=1),
            Notice(code="n", message=""),
            Reasoning(text=", 9"),
            Delta(text=", 3, 4]"),
            call,
            Delta(text="[5, 6, "),
            call,
            Delta(text="7, 8] [1, 2, 3, 4]"),
            stop,
        ]
    )
    first = Box(x1=1, y1=2, x2=3, y2=4, start=0, end=12)
    second = Box(x1=1, y1=2, x2=3, y2=4, start=25, end=37)
    assert [piece for piece in came if isinstance(piece, Box)] == [first, second]
    assert came.index(first) < came.index(call)
    assert came.index(second) == came.index(stop) - 1


@settings(deadline=None)
@given(texts, texts, cuts)
def test_an_answer_that_goes_on_is_read_as_one_text(said: str, text: str, lengths: Cuts) -> None:
    scanner = BoxScanner()
    before = scanner.feed(said)
    came = boxed((Delta(text=chunk) for chunk in cut(text, lengths)), said=said)
    assert [*before, *(piece for piece in came if isinstance(piece, Box))] == found([said + text])


HOSTILE = (
    *(
        "[",
        "[1",
        "[1, ",
        "[ ",
        "1",
        ".",
        "`",
        "~",
        "<box ",
        "<box>1 ",
        "<ref>",
        '"label": "x',
        '"',
        "{",
        "}",
        "\\",
        "\n",
    ),
    *(
        "[1,2,3,4]",
        '{"bbox": [1,2,3,4]',
        "a ",
        "a, ",
        "- ",
        ") [1,2,3,4]",
        ": : : [1,2,3,4] ",
        "**_*_ [1,2,3,4]: ",
        "> ",
    ),
    *(
        "<|det|>",
        "<box>[[1,2,3,4],",
        "<|det|>[[1,2,3,4], x",
        "<loc0001>",
        "```json\n[1,2,3,4]\n```\n",
        "```\n",
        "```\n[\n",
    ),
)


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.slow
def test_what_is_held_of_a_text_is_bounded_and_its_cost_is_linear(unit: str) -> None:
    text, more = unit * (240 // len(unit)), unit * (1_920 // len(unit))
    # Where the text so far were looked at again with each crumb, it would be 64 times as much.
    assert lines_run(lambda: scan(more)) < 2 * 8 * lines_run(lambda: scan(text))


def scan(text: str) -> None:
    """Reads a text in crumbs, and looks at what is held after each."""
    scanner = BoxScanner()
    for crumb in cut(text, [3]):
        scanner.feed(crumb)
        # All that it holds: the text, the line, and the boxes without a label. Without a text it is 292 bytes.
        assert len(pickle.dumps(scanner)) < 1_000
