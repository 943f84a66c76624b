// Plays a page with a chat of the AI SDK against a live gateway. The argument is {sdk, url, body, play}; the output is one
// line of JSON. Run in the directory in which the packages are installed.

const { sdk, url, body, play } = JSON.parse(process.argv[1]);
const { AbstractChat, DefaultChatTransport } = await import(`ai-${sdk}`);

// What a framework's own state is in a page.
class State {
  status = "ready";
  error = undefined;

  constructor(messages) {
    this.messages = messages;
  }

  pushMessage = (message) => (this.messages = [...this.messages, message]);
  popMessage = () => (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index, message) => (this.messages = this.messages.with(index, structuredClone(message)));
  snapshot = (thing) => structuredClone(thing);
}

class Chat extends AbstractChat {
  constructor({ messages = [], ...init }) {
    super({ ...init, state: new State(messages) });
  }
}

const problems = [];

function open(id, messages) {
  const headers = { "X-AI-SDK-Version": String(sdk) };
  const transport = new DefaultChatTransport({ api: `${url}/v1/chat`, body, headers });
  return new Chat({ id, messages, transport, onError: (error) => problems.push(String(error)) });
}

function textOf(message) {
  return message?.role === "assistant" ? message.parts.map((part) => (part.type === "text" ? part.text : "")).join("") : "";
}

async function hasBegun(chat) {
  while (!textOf(chat.messages.at(-1))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const plays = {
  async ask() {
    const chat = open("ask");
    await chat.sendMessage({ text: "Hi" });
    return chat;
  },

  async again() {
    const chat = await plays.ask();
    const before = chat.messages.at(-1).id;
    await chat.regenerate();
    if (chat.messages.at(-1).id === before) {
      problems.push("the same message");
    }
    return chat;
  },

  async reload() {
    const chat = open("reload");
    const asking = chat.sendMessage({ text: "Hi" });
    await hasBegun(chat);
    const seen = chat.messages.at(-1).id;
    await chat.stop();
    await asking;
    // The page kept what the user wrote.
    const reloaded = open("reload", [chat.messages[0]]);
    await reloaded.resumeStream();
    if (reloaded.messages.at(-1).id !== seen) {
      problems.push("another message");
    }
    return reloaded;
  },

  async late() {
    const chat = await plays.ask();
    const reloaded = open("ask", [chat.messages[0]]);
    await reloaded.resumeStream();
    return reloaded;
  },

  async nothing() {
    const chat = open("nothing");
    await chat.resumeStream();
    return chat;
  },

  async stop() {
    const chat = open("stop");
    const asking = chat.sendMessage({ text: "Hi" });
    await hasBegun(chat);
    await fetch(`${url}/v1/chat/stop/stop`, { method: "POST" });
    await asking;
    return chat;
  },

  async next() {
    const chat = await plays.ask();
    await chat.sendMessage({ text: "And?" });
    return chat;
  },
};

const chat = await plays[play]();
const messages = chat.messages.map(({ id, role, parts }) => ({ id, role, text: textOf({ role, parts }), parts }));
console.log(JSON.stringify({ status: chat.status, messages, problems }));
process.exit(0);
