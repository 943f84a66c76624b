/** What the events of one job say, joined. */

const BYTES_PER_TOKEN = 4; // The usual value for English; the provider counts tokens only at the end.
const WINDOW_MS = 5_000;
const MIN_WINDOW_MS = 500;

const CAUSES = {
  worker_lost: "The worker was lost",
  worker_shutdown: "The worker was stopped",
  retry: "The answer broke off",
};

/** The answer of one job. */
export class Answer {
  /** @param {{id: string, provider: string, model: string}} job */
  constructor(job) {
    this.id = job.id;
    this.provider = job.provider;
    this.model = job.model;
    this.restart();
  }

  /** Forget all events. */
  restart() {
    this.state = "queued";
    this.ending = null;
    /** What happened to the answer before the text that counts. */
    this.history = [];
    this.#discard();
  }

  /**
   * Add the next event.
   * @param {any} event
   */
  receive(event) {
    switch (event.type) {
      case "started":
        this.#start(event);
        break;
      case "delta":
        this.text += event.text;
        this.#count(event.text);
        break;
      case "reasoning":
        this.reasoning += event.text;
        // A signature closes a block of the reasoning.
        if (event.signature && this.reasoning) this.reasoning += "\n\n";
        this.#count(event.text);
        break;
      case "refusal":
        this.refusal += event.text;
        this.#count(event.text);
        break;
      case "tool_call":
        this.#addToolCall(event);
        break;
      case "box":
        this.boxes.push(event);
        break;
      case "citation":
        this.#addCitation(event);
        break;
      case "notice":
        this.notices.push(event.message);
        break;
      case "gap":
        this.notices.push("Redis lost a part of this answer.");
        break;
      case "completed":
      case "failed":
      case "cancelled":
        this.state = event.type;
        this.ending = event;
        this.provider = event.provider ?? this.provider;
        this.model = event.model ?? this.model;
        break;
    }
  }

  get isOpen() {
    return this.ending === null;
  }

  /** The estimated number of tokens so far. */
  get tokens() {
    return Math.ceil(this.#bytes / BYTES_PER_TOKEN);
  }

  /**
   * The estimated tokens per second of the last seconds; `null` if they are too few.
   * @param {number} now
   */
  tokensPerSecond(now) {
    const samples = this.#samples;
    samples.push([now, this.#bytes]);
    while (samples.length > 2 && samples[1][0] <= now - WINDOW_MS) samples.shift();
    const [then, before] = samples[0];
    return now - then < MIN_WINDOW_MS ? null : ((this.#bytes - before) / BYTES_PER_TOKEN / (now - then)) * 1000;
  }

  #bytes = 0;
  #samples = [];

  #start(event) {
    this.state = "running";
    this.provider = event.provider;
    this.model = event.model;
    if (event.attempt > 1) {
      const cause = CAUSES[event.reason] ?? "The attempt ended early";
      const how = event.continues ? "goes on with it" : "began again";
      this.history.push(`${cause}: attempt ${event.attempt} ${how}.`);
    }
    if (!event.continues) this.#discard();
  }

  /** Makes void what earlier attempts said. */
  #discard() {
    this.text = "";
    this.reasoning = "";
    this.refusal = "";
    /** @type {Map<number, {name: string, arguments: string}>} */
    this.toolCalls = new Map();
    /** @type {Map<string, any>} */
    this.sources = new Map();
    this.boxes = [];
    this.notices = [];
    this.#bytes = 0;
    this.#samples = [];
  }

  #count(text) {
    this.#bytes += utf8Length(text);
  }

  #addToolCall(event) {
    const call = this.toolCalls.get(event.index) ?? { name: "", arguments: "" };
    call.name ||= event.name ?? "";
    call.arguments += event.arguments ?? "";
    this.toolCalls.set(event.index, call);
    this.#count(event.arguments ?? "");
  }

  #addCitation({ source, url, title, quote, file_id, source_index }) {
    const key = JSON.stringify([source, url ?? file_id, title, source_index]);
    if (!this.sources.has(key)) this.sources.set(key, { source, url, title, quote, file_id, source_index });
  }
}

const encoder = new TextEncoder();

function utf8Length(text) {
  return encoder.encode(text).length;
}
