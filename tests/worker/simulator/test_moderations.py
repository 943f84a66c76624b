"""The moderation endpoint, asked by the official SDK."""

import openai
import pytest
from openai.types import ModerationMultiModalInputParam

from tailrace_worker.simulator import Simulator
from tests.support.simulator_clients import openai_client


async def test_text_is_flagged_as_it_says_itself(simulator: Simulator) -> None:
    async with openai_client(simulator) as client:
        response = await client.moderations.create(input=["all is well", "flag:self-harm/intent and flag:hate"])
    well, ill = response.results
    assert not well.flagged
    assert ill.flagged
    named = [name for name, is_flagged in ill.categories.to_dict().items() if is_flagged]
    assert named == ["hate", "self-harm/intent"]
    assert ill.category_scores.hate > 0.5 > well.category_scores.hate
    assert simulator.journal.entries[-1].outcome == "complete"


async def test_a_word_can_be_told_by_the_model_or_by_the_header(simulator: Simulator) -> None:
    parts: list[ModerationMultiModalInputParam] = [
        {"type": "text", "text": "the mill"},
        {"type": "image_url", "image_url": {"url": "https://a.b/c"}},
    ]
    async with openai_client(simulator) as client:
        by_model = await client.moderations.create(model="omni?flag=mill", input="the mill race")
        by_header = await client.moderations.create(input=parts, extra_headers={"x-tailrace-simulate": "flag=mill"})
        neither = await client.moderations.create(input="the mill race")
    assert by_model.model == "omni"
    assert by_model.results[0].categories.violence
    assert by_header.results[0].flagged
    assert not neither.results[0].flagged


@pytest.mark.parametrize(
    ("model", "error"),
    [("omni?status=503", openai.InternalServerError), ("omni?flags=mill", openai.BadRequestError)],
)
async def test_it_can_fail(simulator: Simulator, model: str, error: type[Exception]) -> None:
    async with openai_client(simulator) as client:
        with pytest.raises(error):
            await client.moderations.create(model=model, input="mill")
    assert simulator.journal.entries[-1].outcome == "refused"


async def test_without_input_it_refuses_as_openai_does(simulator: Simulator) -> None:
    async with openai_client(simulator) as client:
        with pytest.raises(openai.BadRequestError, match="input"):
            await client.post("/moderations", cast_to=object, body={"model": "omni"})
