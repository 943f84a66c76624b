"""Where the rest of an answer meets its beginning, white space is not said twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.events import Citation, Delta, Reasoning
from tailrace_worker.shaping.continued import continued
from tests.support.cutting import Cuts, cuts
from tests.support.guarding import STOP, Source, deltas, drained, read, text_of


@given(st.text("ab \n"), st.text("ab \n"), cuts)
def test_an_answer_that_goes_on_is_joined_as_if_it_had_not_broken_off(said: str, rest: str, lengths: Cuts) -> None:
    source = Source(deltas(rest, lengths))
    came, error = read(continued(source.stream(), said))
    assert error is None
    assert text_of(came) == (rest.lstrip() if said != said.rstrip() else rest)
    assert came[-1] == STOP
    assert source.is_closed


@pytest.mark.parametrize(("said", "goes_on"), [("Once ", "upon"), ("Once", " upon")])
async def test_what_is_no_text_goes_by(said: str, goes_on: str) -> None:
    thought = Reasoning(text=" Hm.")
    came, _ = await drained(continued(Source([thought, Delta(text=" upon")]).stream(), said))
    assert came == [thought, Delta(text=goes_on)]


@pytest.mark.parametrize(("said", "start", "end"), [("Once ", 5, 9), ("Once", 5, 9), ("Once\n\n", 6, 10)])
async def test_a_citation_is_placed_in_the_whole_text(said: str, start: int, end: int) -> None:
    cited = Citation(source="web", url="u", start=1, end=5)
    came, _ = await drained(continued(Source([Delta(text=" "), Delta(text="upon"), cited]).stream(), said))
    (placed,) = (piece for piece in came if isinstance(piece, Citation))
    assert (placed.start, placed.end) == (start, end)
    assert (said + text_of(came))[start:end] == "upon"


async def test_a_citation_without_a_range_stays_without_one() -> None:
    cited = Citation(source="web", url="u")
    came, _ = await drained(continued(Source([Delta(text=" upon"), cited]).stream(), "Once"))
    assert came[-1] == cited
