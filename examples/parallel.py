"""Asks several questions side by side, and the first one again. Run it with: python examples/parallel.py"""

import asyncio
from contextlib import aclosing

from tailrace import Answer, GenerationRequest, Tailrace

QUESTIONS = ("Why do mills have tailraces?", "What does a sluice do?", "How fast does a millstone turn?")


async def main() -> None:
    requests = [
        GenerationRequest(provider="openai", model="gpt-5-mini", messages=[{"role": "user", "content": question}])
        for question in QUESTIONS
    ]
    answers = [Answer() for _ in requests]

    async with Tailrace.connect() as tailrace:
        async with aclosing(tailrace.parallel(requests, max_concurrent=2)) as events:
            async for index, event in events:
                answers[index].add(event)
                if timing := answers[index].timing:  # it has ended
                    print(f"{index} {event.type} after {timing.duration_ms} ms: {timing.verdicts.get('duration_ms')}")

        job = await tailrace.enqueue(requests[0])
        again = await job.regenerate(temperature=1.0)
        for answer in await asyncio.gather(job.answer(), again.answer()):
            print(answer.finish_reason, answer.output_tokens, "tokens")


asyncio.run(main())
