/** Reads server-sent events from the body of a response: unlike an EventSource, a fetch can send an API key. */

/**
 * @typedef {{data: string} | {retryMs: number}} Frame
 */

/**
 * Yield what a stream says, until it ends.
 * @param {ReadableStream<Uint8Array>} body
 * @param {() => void} heard Called whenever bytes arrive, also for comments.
 * @returns {AsyncGenerator<Frame[]>} The frames that arrived together.
 */
export async function* framesOf(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let data = "";
  try {
    while (true) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      const lines = (rest + value).split("\n");
      // A line, and an event, that has not ended yet is sent again after a reconnect.
      rest = lines.pop();
      const frames = [];
      for (const line of lines) {
        if (line.startsWith("data: ")) data = line.slice(6);
        else if (line.startsWith("retry: ")) frames.push({ retryMs: Number(line.slice(7)) });
        else if (line === "" && data) {
          frames.push({ data });
          data = "";
        }
      }
      if (frames.length) yield frames;
    }
  } finally {
    // The stream may be broken already.
    reader.cancel().catch(() => {});
  }
}
