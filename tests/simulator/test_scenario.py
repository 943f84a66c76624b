import pytest

from tailrace_worker.simulator import Scenario
from tailrace_worker.simulator.scenario import InvalidScenario


def test_a_model_without_options_has_the_default_scenario() -> None:
    assert Scenario.parse("demo") == Scenario()
    assert Scenario().pieces == 20
    assert Scenario().interval_ms == 20


def test_the_default_text_repeats_no_piece_within_a_line_and_numbers_its_lines() -> None:
    lines = Scenario.parse("demo?pieces=1200").text_sent.split("\n")
    assert [int(line.partition(".")[0]) for line in lines] == list(range(1, 101))
    assert all(len(set(line.split())) == len(line.split()) for line in lines)


def test_a_given_text_is_sent_whole_a_word_a_piece() -> None:
    text = "Grüße aus  dem Tal,\n\nund  bis bald \n"
    scenario = Scenario(text=text, interval_ms=0)
    assert scenario.text_sent == text
    assert scenario.pieces == 8
    assert Scenario.parse("demo?text=one%20two+three").text_sent == "one two three"


def test_given_pieces_shorten_or_repeat_a_given_text() -> None:
    assert Scenario.parse("demo?text=one+two&pieces=1").text_sent == "one"
    assert Scenario.parse("demo?text=one+two&pieces=3").text_sent == "one twoone"


@pytest.mark.parametrize("fault", ["cut", "close", "stall", "malformed", "error"])
def test_the_text_that_is_sent_ends_at_the_fault(fault: str) -> None:
    scenario = Scenario.parse(f"demo?{fault}_after=3")
    assert scenario.text_sent == "1. Water leaves"
    assert scenario.fault == (fault, 3)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("peices=3", "peices"),
        ("pieces=many", "pieces"),
        ("pieces=-1", "pieces"),
        ("interval_ms=nan", "interval_ms"),
        ("status=200", "status"),
        ("finish=", "finish"),
        ("pieces=3&pieces=4", "more than once"),
        ("pieces", "not a query string"),
        ("text=%FF", "not a query string"),
        ("cut_after=1&stall_after=2", "cut_after and stall_after"),
        ("cut_after=21", "cut_after=21"),
        ("malformed_after=20", "malformed_after=20"),
    ],
)
def test_an_option_at_fault_is_named(options: str, named: str) -> None:
    with pytest.raises(InvalidScenario, match=named):
        Scenario.read(options)
