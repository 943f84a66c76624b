// Reads a stream with the npm package `eventsource`, as a browser does: it comes back with its last id when the stream
// breaks off, and stops at 204. The argument is {url, types}; the output is {events, opened} as one line of JSON.

import { EventSource } from "eventsource";

const { url, types } = JSON.parse(process.argv[1]);
const events = [];
let opened = 0;
const source = new EventSource(url);
source.addEventListener("open", () => (opened += 1));
for (const type of types) {
  source.addEventListener(type, (event) => {
    events.push([event.type, event.lastEventId]);
    console.error(event.type);
  });
}
source.addEventListener("error", (error) => {
  if (source.readyState === EventSource.CLOSED) {
    console.log(JSON.stringify({ events, opened, code: error.code ?? null }));
  }
});
