"""Sentences end where a reader would say so, or later, and however the text is cut."""

from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailrace_worker.shaping.sentences import last_sentence_end
from tests.support.cutting import Cuts, cut, cuts
from tests.support.work import lines_run

PARTS = (
    *("Go", " on", " it ", " It", ". ", ".", "...", ". . .", "!", "?!", "\u2026", "\n", " ", "  ", ", ", " - ", " -- "),
    *("1", " 12", " 1990", "iv", "Mt", "No", "Dr", "U.S", "e.g", "p.m", "x"),
    *('"', "'", "**", "(", ")", "[", "]", "`", "\u201c", "\u201d", "\u201e", "\u00ab", "\u00bb", "_"),
    *("\u3002", "\uff01", "\u300c", "\u300d", "\u300a", "\u300b", "\u3068", "\u597d", "e\u0301"),
)
texts = st.lists(st.sampled_from(PARTS), max_size=24).map("".join)


def sentences(text: str, lengths: Iterable[int] = (1,)) -> list[str]:
    """The sentences of a text that comes in pieces, and what is left of it."""
    found: list[str] = []
    held = ""
    for piece in cut(text, lengths):
        seen, held = len(held), held + piece
        if end := last_sentence_end(held, seen):
            found.append(held[:end])
            held = held[end:]
    return [*found, held]


@pytest.mark.parametrize(
    "text",
    [
        *("1. Wash it", "2.) Dry it", "First this 3. Then that", "- 10. Iron it", "**5.** Wear it"),
        *("a. Wash it", "B. Dry it", "iv. Fold it", "III. Ironing", "\u2022 6. Mend it", "Am 3. Mai war es"),
        *("Well... it is", "Well... It is", "So [...] It is", "He . . . It was", "... It was", "Oh\u2026 but no"),
        *("See Mt. Etna", "See No. 5", "no. 12 of it", "Nr. 7", "Foo Ltd. Berlin", "Foo Inc. (Ohio)", "Foo & Co. KG"),
        *("FOO CORP. Texas", "J. R. Doe Jr. Esq.", "Dr. Prof. Foo", "Sen. Foo", "Gen. Foo", "Gov. Foo", "Rep. Foo"),
        *("See Fig. A", "see fig. 3", "Eq. 4", "Vol. II", "approx. 30 m", "est. 1850", "dept. Foo", "Foo vs. Bar"),
        *("at 5 p.m. The", "the U.S. Army", "a Ph.D. Student", "i.e. Foo", "On Jan. 20", "on Sept. 3", "Sat. 5 May"),
        *(
            "Fri. Noon",
            "Foo bzw. Bar",
            "ca. 30",
            "z.B. Foo",
            "Mme. Foo",
            "la Sra. Foo",
            "p\u00e1g. 3",
            "\u0443\u043b. \u041c\u0438\u0440\u0430",
        ),
        *("Yahoo! is it", "Why? he said", '"Why?" he said', "(Why?) he said", "It is (see it.) and on", 'A "b." (c'),
        *(
            'He said, "Go on. It is',
            "He said: \u201cGo on. It is",
            "Er sagt: \u201eGeh. Es ist",
            "Il dit : \u00ab Va. Il est",
        ),
        *(
            "He said, 'Go on. It is",
            "'Go on! It is",
            "He said: \u2018It's on. It is",
            "Oh -- 'go on! It is",
            'He said -- "Go on. It is',
            "It is (so it is. It",
            "Die \u00bbGeh. Es",
            "3.14",
            "a.b",
            "foo. bar",
            "Oh! -- but no",
        ),
        *(
            "\u4ed6\u770b\u300a\u8dd1\u5427\uff01\u7238\u7238\u300b\u597d",
            "\u300c\u884c\u304f\uff01\u300d\u3068\u8a00",
            "\uff08\u597d\u3002\u662f\uff09",
        ),
    ],
)
def test_what_may_go_on_is_not_cut(text: str) -> None:
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    "text",
    [
        *("It is so.| It is.| I know.", "Is it?| It is!| So", "Is it?!| It is.| *So it is.*| So", "It is so.|\nit is"),
        *(
            "It was in 1990.| He won 1,000.| She paid $5.| It was 3.14.| So",
            "No.| I do not.| We sat.| The sun.| It rose",
        ),
        *("It is art.| The sun.| A fig.| We wed.| All rep.| Modern AS-10.| So", "Mt. Etna burns.| Dr. Foo ran.| So"),
        *("1. Wash it.| 2. Dry it.| 3. Iron it.|\n4. Wear it.|\n", "Well...|\n\nIt is.|\n", "Oh\u2026| It is"),
        *('"Go on," he said.| "It is', '"Go on."| It is', '"Go on. It is."| So', '"Go on.|\n"It is.|\n'),
        *(
            "\u201cGo on. It is.\u201d| So",
            "\u201eGeh. Es ist.\u201c| So",
            "\u00abVa. Il est.\u00bb| So",
            "\u00ab Va. Il est. \u00bb Oui.| So",
        ),
        *("'Go on. It's so.'| So", "\u2018It\u2019s on. It is.\u2019| So", "The dogs' tails.| Doe Jr.'s dog.| So"),
        *("In the 'nineties.| It's all 'round.| So", "A 'word'.| So", "'Go on,' he said.| So"),
        *("(It is. So it is.)| So", "It is (so).| So", 'A 5" pipe.| It is', "**It is.**| So", "`x` is it.| `y` is"),
        *(
            "\u597d\u3002|\u662f\uff01|\u300c\u597d\u3002\u662f\u3002\u300d|\u662f\uff1f|\u597d",
            "\u4ed6\u8bf4\uff1a\u201c\u597d\u3002\u662f\u3002\u201d|\u597d",
        ),
        *(
            "\u884c\u304f\u3002|\u3068\u3066\u3082\u3002|\u597d",
            "\uff13\uff0e\uff12\uff19\u3002|\u597d",
            "\u300a\u597d\uff01\u300b\u662f\uff08\u597d\uff01\uff09\uff1f|\u597d",
        ),
    ],
)
def test_a_sentence_ends_at_its_stop(text: str) -> None:
    assert sentences(text.replace("|", "")) == text.split("|")


@settings(deadline=None)
@given(texts, cuts)
@example("Go on. 123. It", [9])
@example("\u597d\u3002U. It", [2])
def test_where_a_sentence_ends_does_not_depend_on_the_pieces(text: str, lengths: Cuts) -> None:
    one_by_one, came = sentences(text), sentences(text, lengths)
    assert came[-1] == one_by_one[-1]
    assert _ends(came) <= _ends(one_by_one)


def _ends(pieces: list[str]) -> set[int]:
    return {sum(map(len, pieces[:count])) for count in range(len(pieces))}


@pytest.mark.parametrize("unit", ['"Go on. It is, ', "(Go on. ", "Mt. Go ", "1. Go ", "Go... It "])
def test_stops_that_end_no_sentence_cost_the_same_each(unit: str) -> None:
    text, more = unit * 10, unit * 160
    assert lines_run(lambda: sentences(more)) < 1.5 * 16 * lines_run(lambda: sentences(text))
