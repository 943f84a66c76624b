// Uses the npm package `@anthropic-ai/sdk` as a program does. The argument is {url, model, calling, slow, failing}: models
// that say something, call a tool, take long and fail. The output is what came of it, as one line of JSON.

import Anthropic from "@anthropic-ai/sdk";

const { url, model, calling, slow, failing } = JSON.parse(process.argv[1]);
const client = new Anthropic({ baseURL: url, apiKey: "k" });
const messages = [{ role: "user", content: "Hi" }];
const tools = [{ name: "weather", input_schema: { type: "object", properties: {} } }];
const asking = (fields) => ({ model, messages, max_tokens: 1000, ...fields });

const caught = async (fields, options) => {
  try {
    await client.messages.create(asking(fields), options);
  } catch (error) {
    return [error.constructor.name, error.status, error.message];
  }
};

const whole = await client.messages.create(asking({}));
const final = await client.messages.stream(asking({})).finalMessage();

const asked = await client.messages.create(asking({ model: calling, tools }));
const results = asked.content
  .filter((block) => block.type === "tool_use")
  .map((block) => ({ type: "tool_result", tool_use_id: block.id, content: "12 degrees" }));
const turn = [
  { role: "assistant", content: asked.content },
  { role: "user", content: results },
];
const answered = await client.messages.create(asking({ messages: [...messages, ...turn], tools }));

const named = { headers: { "Idempotency-Key": "k-1" } };
await client.messages.create(asking({}), named);
const errors = [
  await caught({ model: "gpt-4" }),
  await caught({ messages: [] }),
  await caught({ system: "Be brief." }, named),
  await caught({ model: failing }),
];

for await (const event of await client.messages.create(asking({ model: slow, stream: true }))) {
  if (event.type === "content_block_delta") break;
}

const models = [];
for await (const each of client.models.list()) models.push(each.id);

console.log(
  JSON.stringify({
    texts: [whole, final, answered].map((message) => message.content.map((block) => block.text ?? "").join("")),
    usage: final.usage,
    calls: results.length,
    errors,
    models,
  }),
);
