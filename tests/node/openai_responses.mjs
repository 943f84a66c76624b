// Uses the Responses of the npm package `openai` as a program does. The argument is {url, model, calling, slow}: models
// that say something, call a tool and take long. The output is what came of it, as one line of JSON.

import OpenAI from "openai";

const { url, model, calling, slow } = JSON.parse(process.argv[1]);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", maxRetries: 0 });
const tools = [{ type: "function", name: "weather", parameters: { type: "object", properties: {} }, strict: null }];

const all = async (events) => {
  const seen = [];
  for await (const event of events) seen.push(event);
  return seen;
};
const caught = async (call) => {
  try {
    await call;
  } catch (error) {
    return [error.constructor.name, error.status];
  }
};

const whole = await client.responses.create({ model, input: "Hi" });
const streamed = await client.responses.stream({ model, input: "Hi" }).finalResponse();

const asked = await client.responses.create({ model: calling, input: "Hi", tools });
const calls = asked.output.filter((item) => item.type === "function_call");
const outputs = calls.map(({ call_id }) => ({ type: "function_call_output", call_id, output: "12 degrees" }));
const answered = await client.responses.create({ model, input: outputs, previous_response_id: asked.id, tools });

const begun = await client.responses.create({ model: slow, input: "Hi", background: true });
for await (const event of await client.responses.retrieve(begun.id, { stream: true }))
  if (event.type === "response.in_progress") break;
const cancelled = await client.responses.cancel(begun.id);
const events = await all(await client.responses.retrieve(begun.id, { stream: true }));
const rests = [];
for (const { sequence_number } of events)
  rests.push(await all(await client.responses.retrieve(begun.id, { stream: true, starting_after: sequence_number })));
await client.responses.delete(begun.id);

console.log(
  JSON.stringify({
    texts: [whole, streamed, answered].map((response) => response.output_text),
    calls: calls.length,
    statuses: [begun.status, cancelled.status, events.at(-1).response.status],
    isExact: rests.every((rest, at) => JSON.stringify(rest) === JSON.stringify(events.slice(at + 1))),
    errors: [
      await caught(client.responses.retrieve(begun.id)),
      await caught(client.responses.create({ model, input: "Hi", truncation: "auto" })),
    ],
  }),
);
