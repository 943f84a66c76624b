"""Markdown as it arrives: whatever the chunks, the blocks are the same, and right at every step."""

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tailrace.render import Block, MarkdownStream, Table
from tests.support.markdown_oracle import Said, blocks_of, parsed, said
from tests.support.markdown_texts import EXAMPLE_GROUPS, cut, disputed, texts

pytestmark = pytest.mark.slow


@settings(deadline=None)
@given(texts.flatmap(lambda text: st.tuples(st.just(text), cut(text))))
@example(("a\r\n\r\n# b\r\n", ["a\r", "\n", "", "\r", "", "\n#", " b\r", "\n"]))
def test_any_cut_gives_the_same_blocks(drawn: tuple[str, list[str]]) -> None:
    text, chunks = drawn
    assert parsed(chunks) == parsed(text) == parsed([text])


@pytest.mark.parametrize("examples", EXAMPLE_GROUPS.values(), ids=EXAMPLE_GROUPS)
def test_any_cut_of_an_example_of_commonmark_gives_the_same_blocks(examples: dict[str, str]) -> None:
    for text in examples.values():
        for size in (1, 2, 3, 5):
            assert parsed(text[at : at + size] for at in range(0, len(text), size)) == parsed([text])


def check_steps(text: str) -> None:
    """At every step, what is closed and what is open is what markdown-it says, but of a line that is not settled."""
    stream = MarkdownStream()
    closed: list[Said] = []
    for end, character in enumerate(text, 1):
        closed += map(said, stream.feed(character))
        # Nothing public tells how much of the text is held until its line is settled.
        held = len("".join(stream._ambiguous))  # noqa: SLF001
        assert closed + [said(block) for block in (stream.open,) if block] == blocks_of(text[: end - held])


@settings(deadline=None)
@given(texts)
def test_after_every_step_the_blocks_are_those_of_markdown_it_for_the_text_so_far(text: str) -> None:
    assume(not disputed(text) and "]:" not in text)
    check_steps(text)


# The definition of a link is text here until its line has ended, and to markdown-it until its title has.
@pytest.mark.parametrize("examples", EXAMPLE_GROUPS.values(), ids=EXAMPLE_GROUPS)
def test_after_every_step_of_an_example_of_commonmark_the_blocks_are_those_of_markdown_it(
    examples: dict[str, str],
) -> None:
    for text in examples.values():
        if "]:" not in text:
            check_steps(text)


def looks(chunks: list[str]) -> list[tuple[list[str], str | None, str]]:
    """What each chunk closes, and what is open after it, as type and source."""
    stream = MarkdownStream()
    seen: list[tuple[list[str], str | None, str]] = []
    for chunk in chunks:
        closed: list[str] = [block.type for block in stream.feed(chunk)]
        block = stream.open
        seen.append((closed, block.type if block else None, block.source if block else ""))
    return seen


def test_fenced_code_is_right_at_every_step() -> None:
    assert looks(["Code:\n``", "`p", "y\nx =", " 1\n``", "`\n", "done"]) == [
        ([], "paragraph", "Code:"),
        ([], "paragraph", "Code:"),
        (["paragraph"], "fenced_code", "```py\nx ="),
        ([], "fenced_code", "```py\nx = 1"),
        (["fenced_code"], None, ""),
        ([], "paragraph", "done"),
    ]


def test_a_tilde_fence_in_an_item_is_right_at_every_step() -> None:
    assert looks(["- ~~", "~\n", "  ~~~ a\n", " ", " ``", "`\n b"]) == [
        ([], None, ""),
        ([], "fenced_code", "~~~"),
        ([], "fenced_code", "~~~\n~~~ a"),
        ([], "fenced_code", "~~~\n~~~ a"),
        ([], "fenced_code", "~~~\n~~~ a"),
        (["fenced_code"], "paragraph", "b"),
    ]


def test_a_table_is_right_at_every_step() -> None:
    stream = MarkdownStream()
    rows: list[object] = []
    for chunk in ("| a |", " b |\n|--", "-|---", "|\n", "| 1 ", "| 2", "2 |\n|", " 3", "\n"):
        assert not stream.feed(chunk)
        rows.append(stream.open.rows if isinstance(stream.open, Table) else None)
    assert rows == [
        None,
        None,
        None,
        (),
        (("1",),),
        (("1", "2"),),
        (("1", "22"),),
        (("1", "22"), ("3",)),
        (("1", "22"), ("3",)),
    ]


@pytest.mark.parametrize(
    "begun", ["-", "--", "1", "*", "`", "``", "#", "=", "|", "|-", "<", "<di", "> ", "  ", "$", "_", "~~"]
)
def test_a_line_is_held_back_while_it_is_ambiguous(begun: str) -> None:
    assert looks(["text\n", begun])[-1] == ([], "paragraph", "text")


@pytest.mark.parametrize(
    ("begun", "type_"),
    [
        ("- a", "paragraph"),
        ("12. a", "paragraph"),
        ("> a", "paragraph"),
        ("# ", "heading"),
        ("## a", "heading"),
        ("<div ", "html"),
        ("<!-- a", "html"),
        ("- # a", "heading"),
    ],
)
def test_a_line_that_is_certain_to_end_a_paragraph_ends_it_before_it_ends(begun: str, type_: str) -> None:
    closed, open_type, _ = looks(["text\n\n", begun])[-1]
    assert (closed, open_type) == ([], type_)
    if begun != "12. a":
        closed, open_type, _ = looks(["text\n", begun])[-1]
        assert (closed, open_type) == (["paragraph"], type_)


@pytest.mark.parametrize(
    "begun",
    ["a", "**a", "*a", "__a", "1.5", "-1", "+1", "#a", "`a", "~~a", "<https:", "<b>a", "[a", "$5", "=a", "--- a"],
)
def test_a_line_that_is_certain_to_be_text_is_shown_before_it_ends(begun: str) -> None:
    assert looks([begun])[-1] == ([], "paragraph", begun)
    assert looks([begun * 100])[-1] == ([], "paragraph", begun * 100)


def test_an_open_block_does_not_change_after_it_was_read() -> None:
    stream = MarkdownStream()
    opened: list[Block | None] = []
    for chunk in ("a\nb", " | c", "\n-|-\nd", "|2\n", "```\n", "x", "y\nz"):
        stream.feed(chunk)
        opened.append(stream.open)
    assert [block.source for block in opened if block] == [
        "a\nb",
        "a\nb | c",
        "b | c\n-|-\nd",
        "b | c\n-|-\nd|2",
        "```",
        "```\nx",
        "```\nxy\nz",
    ]


def test_a_link_definition_is_recognized_when_its_line_has_ended() -> None:
    assert looks(["[a]: /u", "\n", "'t", "'\n", "b"]) == [
        ([], "paragraph", "[a]: /u"),
        ([], "link_definition", "[a]: /u"),
        ([], "link_definition", "[a]: /u\n't"),
        ([], "link_definition", "[a]: /u\n't'"),
        (["link_definition"], "paragraph", "b"),
    ]
