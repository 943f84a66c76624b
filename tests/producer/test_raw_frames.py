"""Frames as lines, and lines as frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.raw_frames import Frame, FrameDecoder, encode_frame

HARD_BYTES = st.binary() | st.lists(st.sampled_from([b"\r", b"\n", b"0", b"1", b":", b"%", b"%25", b"\xff"])).map(
    b"".join
)
FRAMES = st.lists(st.builds(Frame, HARD_BYTES, HARD_BYTES))


@given(FRAMES, st.data())
def test_frames_come_back_however_their_lines_are_cut(frames: list[Frame], data: st.DataObject) -> None:
    raw = b"".join(encode_frame(*frame) for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)))))
    decoder = FrameDecoder()
    read: list[Frame] = []
    for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        read += decoder.feed(raw[begin:end])
        assert decoder.is_within == (end > 0 and not raw[:end].endswith(b"\n"))
    assert read == frames


@given(HARD_BYTES, HARD_BYTES)
def test_a_frame_is_one_line(name: bytes, data: bytes) -> None:
    line = encode_frame(name, data)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (Frame(b"", b'{"a": 1}'), b':{"a": 1}\n'),
        (Frame(b"ping", b"{}"), b"ping:{}\n"),
        (Frame(b"", b'{\r\n"a": 1}\n'), b':{\r1\r0"a": 1}\r0\n'),
        (Frame(b"a:b%", b""), b"a%3Ab%25:\n"),
        (Frame(b"", b"[DONE]"), b":[DONE]\n"),
    ],
)
def test_the_lines_are_as_documented(frame: Frame, line: bytes) -> None:
    assert encode_frame(*frame) == line
