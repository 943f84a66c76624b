// Asks a gateway with the AI SDK's provider for OpenAI. The argument is {url, asked: [[api, model], …]}; the output is
// {answers: […]}, as one line of JSON.

import { createOpenAI } from "@ai-sdk/openai";
import { generateText, isStepCount, jsonSchema, streamText, tool } from "ai-7";

const { url, asked } = JSON.parse(process.argv[1]);
const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: "k" });
const QUESTION = "Why do mills have tailraces?";

const answer = (text, usage) => ({ text, input_tokens: usage.inputTokens, output_tokens: usage.outputTokens });

const ask = async ([api, name]) => {
  const model = api === "responses" ? openai.responses(name) : openai.chat(name);
  const calls = [];
  const look_up = tool({
    description: "Look something up.",
    inputSchema: jsonSchema({
      type: "object",
      properties: { number: { type: "integer" }, words: { type: "string" }, sign: { type: "string" } },
      required: ["number", "words", "sign"],
      additionalProperties: false,
    }),
    execute: async (given) => {
      calls.push(given);
      return `Found ${given.number}: ${given.words} ${given.sign}`;
    },
  });

  const chat = await generateText({ model, instructions: "Be brief.", prompt: QUESTION });
  const loop = await generateText({ model, tools: { look_up }, stopWhen: isStepCount(5), prompt: 'Look up "tailrace".' });
  const stream = streamText({ model, prompt: QUESTION });
  let text = "";
  for await (const piece of stream.textStream) text += piece;
  return {
    chat: answer(chat.text, chat.usage),
    loop: answer(loop.text, loop.usage),
    stream: answer(text, await stream.usage),
    calls,
  };
};

const answers = [];
for (const each of asked) answers.push(await ask(each));
console.log(JSON.stringify({ answers }));
