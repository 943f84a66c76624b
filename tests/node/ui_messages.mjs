// Reads UI message streams with the AI SDK's own client. Each line of the input is {sdk, stream}, and each line of the
// output is the message that the client made of it. Run in the directory in which the packages are installed.

import { createInterface } from "node:readline";

const sdks = { 6: await import("ai-6"), 7: await import("ai-7") };

for await (const line of createInterface({ input: process.stdin })) {
  const { sdk, stream } = JSON.parse(line);
  console.log(JSON.stringify(await read(sdks[sdk], Buffer.from(stream, "base64"))));
}

async function read({ parseJsonEventStream, readUIMessageStream, uiMessageChunkSchema }, bytes) {
  const problems = [];
  const transient = [];
  const chunks = parseJsonEventStream({ stream: new Blob([bytes]).stream(), schema: uiMessageChunkSchema }).pipeThrough(
    new TransformStream({
      transform(parsed, controller) {
        if (!parsed.success) {
          throw parsed.error;
        }
        if (parsed.value.transient) {
          transient.push(parsed.value);
        }
        controller.enqueue(parsed.value);
      },
    }),
  );
  let message = null;
  for await (message of readUIMessageStream({ stream: chunks, onError: (error) => problems.push(error.message) }));
  return { message, problems, transient };
}
