// Uses the npm package `openai` as a program does. The argument is {url, model, calling, slow, failing}: models that say
// something, call a tool, take long and fail. The output is what came of it, as one line of JSON.

import OpenAI from "openai";

const { url, model, calling, slow, failing } = JSON.parse(process.argv[1]);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "k" });
const messages = [{ role: "user", content: "Hi" }];
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } }];

const caught = async (fields, options) => {
  try {
    await client.chat.completions.create({ model, messages, ...fields }, options);
  } catch (error) {
    return [error.constructor.name, error.status, error.message];
  }
};

const whole = await client.chat.completions.create({ model, messages });
const streamed = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
const final = await streamed.finalChatCompletion();

const asked = await client.chat.completions.create({ model: calling, messages, tools });
const results = asked.choices[0].message.tool_calls.map((call) => ({
  role: "tool",
  tool_call_id: call.id,
  content: "12 degrees",
}));
const answered = await client.chat.completions.create({
  model,
  messages: [...messages, asked.choices[0].message, ...results],
  tools,
});

const named = { headers: { "Idempotency-Key": "k-1" } };
await client.chat.completions.create({ model, messages }, named);
const errors = [
  await caught({ model: "gpt-4" }),
  await caught({ messages: 5 }),
  await caught({ temperature: 1 }, named),
  await caught({ model: failing }),
];

for await (const _ of await client.chat.completions.create({ model: slow, messages, stream: true })) break;

const models = [];
for await (const each of client.models.list()) models.push(each.id);

console.log(
  JSON.stringify({
    texts: [whole, final, answered].map((completion) => completion.choices[0].message.content),
    usage: final.usage,
    calls: results.length,
    errors,
    models,
  }),
);
