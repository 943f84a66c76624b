import json

import pytest

from tailrace.render import MarkdownStream
from tailrace_worker.simulator import Scenario
from tailrace_worker.simulator.scenario import InvalidScenario


def test_a_model_without_options_has_the_default_scenario() -> None:
    assert Scenario.parse("demo") == Scenario()
    assert Scenario().interval_ms == 20


def test_the_default_answer_is_a_whole_text_with_markdown() -> None:
    text = Scenario.parse("demo").text_sent
    assert Scenario.parse("demo?interval_ms=0").text_sent == text
    stream = MarkdownStream()
    kinds = {block.type for block in [*stream.feed(text), *stream.end()]}
    assert kinds >= {"heading", "paragraph", "table", "fenced_code"}
    assert text.endswith("end.\n")


def test_the_endless_text_repeats_no_piece_within_a_line_and_numbers_its_lines() -> None:
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
    scenario = Scenario.parse(f"demo?pieces=20&{fault}_after=3")
    assert scenario.text_sent == "1. Water leaves"
    assert scenario.fault == (fault, 3)


def test_a_fault_counts_reasoning_then_text_then_the_arguments_of_tools() -> None:
    options = "demo?reasoning=3&pieces=2&tools=1"
    arguments = Scenario.parse(options).arguments[0]
    assert json.loads(arguments.text)["number"] == 1
    cut = [Scenario.parse(f"{options}&cut_after={position}") for position in range(6 + len(arguments))]
    assert [scenario.reasoning_sent.count("Thought") for scenario in cut[:5]] == [0, 1, 2, 3, 3]
    assert [scenario.text_sent for scenario in cut[2:7]] == ["", "", "1.", "1. Water", "1. Water"]
    with pytest.raises(InvalidScenario, match="never happens"):
        Scenario.parse(f"{options}&cut_after={6 + len(arguments)}")


def test_what_goes_wrong_a_number_of_times_is_gone_after_them() -> None:
    scenario = Scenario.parse("demo?cut_after=3&times=2&text=one+two+three+four")
    assert [scenario.at(attempt).fault for attempt in (1, 2, 3)] == [("cut", 3), ("cut", 3), None]
    assert scenario.at(3).text_sent == "one two three four"
    assert Scenario.parse("demo?status=500&times=1").at(2).status is None


def test_a_text_goes_on_where_its_beginning_ends_with_a_piece() -> None:
    scenario = Scenario.parse("demo?text=one+two&pieces=3")
    assert [scenario.position_after(begun) for begun in ("", "one", "one two", "one twoone")] == [0, 1, 2, 3]
    assert [scenario.position_after(begun) for begun in ("on", "two", "one twoone two")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("peices=3", "peices"),
        ("pieces=many", "pieces"),
        ("pieces=-1", "pieces"),
        ("interval_ms=nan", "interval_ms"),
        ("status=200", "status"),
        ("finish=", "finish"),
        ("blocks=0", "blocks"),
        ("refusal=perhaps", "refusal"),
        ("error_shape=round", "error_shape"),
        ("error_code=", "error_code"),
        ("split=0", "split"),
        ("usage=never", "usage"),
        ("pieces=3&pieces=4", "more than once"),
        ("pieces", "not a query string"),
        ("text=%FF", "not a query string"),
        ("cut_after=1&stall_after=2", "cut_after and stall_after"),
        ("pieces=20&cut_after=21", "cut_after=21"),
        ("pieces=20&malformed_after=20", "malformed_after=20"),
    ],
)
def test_an_option_at_fault_is_named(options: str, named: str) -> None:
    with pytest.raises(InvalidScenario, match=named):
        Scenario.read(options)
