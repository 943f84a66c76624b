"""Enqueues a generation, and prints the answer as it grows. Run it with: python examples/producer.py"""

import asyncio

from tailrace import GenerationRequest, Tailrace


async def main() -> None:
    async with Tailrace.connect() as tailrace:  # TAILRACE_REDIS_URL, or redis://localhost:6379/0
        job = await tailrace.enqueue(
            GenerationRequest(
                provider="openai",
                model="gpt-5-mini",
                messages=[{"role": "user", "content": "Why do mills have tailraces?"}],
                max_output_tokens=400,
            ),
            tenant="acme",
            idempotency_key="question-7",
        )
        print("job", job.id)

        async for event in job.tail():  # job.tail(after="1-17") goes on from there
            if event.type == "delta":
                print(event.text, end="", flush=True)

        answer = await job.answer()
        print()
        print(answer.finish_reason, answer.output_tokens, "tokens")


asyncio.run(main())
