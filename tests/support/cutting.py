"""Texts in chunks of any lengths. Needs no more than the light side."""

from collections.abc import Iterable
from itertools import accumulate, cycle, pairwise
from typing import TypeAlias

from hypothesis import strategies as st

Cuts: TypeAlias = list[int]

cuts: st.SearchStrategy[Cuts] = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def cut(text: str, lengths: Iterable[int]) -> list[str]:
    """The text in chunks of these lengths, over and over."""
    places = [0]
    for place in accumulate(cycle(lengths)):
        if places[-1] >= len(text):
            break
        places.append(place)
    return [text[start:stop] for start, stop in pairwise(places)]
