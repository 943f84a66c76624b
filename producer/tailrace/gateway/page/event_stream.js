/** One connection for the events of all open jobs. It comes back by itself, and loses and doubles nothing. */

import { GatewayError, pause } from "./gateway.js";
import { framesOf } from "./sse.js";

const MAX_JOBS = 50;
const SILENCE_MS = 30_000; // The gateway sends a comment every 10 s.
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 5_000;
const GATHER_MS = 50; // Jobs that are followed in one go share one new connection.
const ENDINGS = new Set(["completed", "failed", "cancelled"]);

/**
 * @typedef {object} Receiver
 * @property {(event: any) => void} receive Takes the next event.
 * @property {() => void} restart Forgets all events: the stream is read from its beginning again.
 * @property {() => void} gone The job is not kept any longer.
 */

/** The shared stream. */
export class EventStream {
  #gateway;
  #tell;
  /** @type {Map<string, {cursor: string, receiver: Receiver}>} */
  #jobs = new Map();
  #connection = new AbortController();
  #isRunning = false;
  #isReopening = false;
  #wake = () => {};

  /**
   * @param {import("./gateway.js").Gateway} gateway
   * @param {(isConnected: boolean) => void} tell Told when the connection is lost, and when it is back.
   */
  constructor(gateway, tell) {
    this.#gateway = gateway;
    this.#tell = tell;
    addEventListener("online", () => this.#wake());
  }

  /**
   * Read a job from its beginning to its ending.
   * @param {string} jobId
   * @param {Receiver} receiver
   */
  follow(jobId, receiver) {
    this.#jobs.set(jobId, { cursor: "", receiver });
    this.#reopen();
  }

  /** @param {string} jobId */
  leave(jobId) {
    // Its events are dropped from now on; the others need no other connection.
    this.#jobs.delete(jobId);
    if (!this.#jobs.size) this.#connection.abort();
  }

  #reopen() {
    if (this.#isReopening) return;
    this.#isReopening = true;
    setTimeout(() => {
      this.#isReopening = false;
      this.#connection.abort();
      this.#wake();
      if (!this.#isRunning) this.#run();
    }, GATHER_MS);
  }

  async #run() {
    this.#isRunning = true;
    let pauseMs = FIRST_PAUSE_MS;
    while (this.#jobs.size) {
      const connection = new AbortController();
      this.#connection = connection;
      let waitMs = 0;
      try {
        waitMs = await this.#read(connection, () => {
          pauseMs = FIRST_PAUSE_MS;
          this.#tell(true);
        });
      } catch (error) {
        if (!connection.signal.aborted || connection.signal.reason === "silence") {
          waitMs = await this.#recover(error, pauseMs);
          pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS);
        }
      }
      if (waitMs && this.#jobs.size) await this.#wait(waitMs);
    }
    this.#tell(true);
    this.#isRunning = false;
  }

  /** Reads one response; returns how long to wait before the next one. */
  async #read(connection, opened) {
    const asked = [...this.#jobs].slice(0, MAX_JOBS);
    const query = asked.map(([id, { cursor }]) => `job=${id}${cursor && `:${cursor}`}`).join("&");
    let timer;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => connection.abort("silence"), SILENCE_MS);
    };
    try {
      heard();
      const response = await this.#gateway.request(`v1/events?${query}`, { signal: connection.signal });
      opened();
      if (response.status === 204) {
        for (const [id] of asked) this.#drop(id);
        return 0;
      }
      let retryMs = 1_000;
      for await (const frames of framesOf(response.body, heard)) {
        for (const frame of frames) {
          if (frame.retryMs) retryMs = frame.retryMs;
          else if (!connection.signal.aborted) this.#take(JSON.parse(frame.data));
        }
      }
      return asked.some(([id]) => this.#jobs.has(id)) ? retryMs : 0;
    } finally {
      clearTimeout(timer);
    }
  }

  #take(event) {
    const job = this.#jobs.get(event.job);
    if (!job) return;
    job.cursor = event.id;
    if (ENDINGS.has(event.type)) this.#end(event.job);
    try {
      job.receiver.receive(event);
    } catch (defect) {
      // A connection that works is no remedy for it.
      reportError(defect);
    }
  }

  #end(jobId) {
    this.#jobs.delete(jobId);
    // A job that found no room in this response has it now.
    if (this.#jobs.size >= MAX_JOBS) this.#reopen();
  }

  /** Does what an error asks for; returns how long to wait. */
  async #recover(error, pauseMs) {
    if (error instanceof GatewayError && error.status === 404) {
      await this.#dropMissing();
      return pauseMs;
    }
    if (error instanceof GatewayError && error.code === "invalid_cursor") {
      // Redis lost its last moments: what was read is not what is kept.
      for (const job of this.#jobs.values()) {
        job.cursor = "";
        job.receiver.restart();
      }
      return pauseMs;
    }
    this.#tell(false);
    return 1000 * (error.retryAfterSeconds ?? 0) || pauseMs * (0.75 + Math.random() / 2);
  }

  async #dropMissing() {
    for (const id of [...this.#jobs.keys()]) {
      try {
        await this.#gateway.request(`v1/jobs/${id}`);
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        if (error.status === 404) this.#drop(id);
      }
    }
  }

  #drop(jobId) {
    const job = this.#jobs.get(jobId);
    this.#jobs.delete(jobId);
    job?.receiver.gone();
  }

  async #wait(milliseconds) {
    const woken = new Promise((wake) => (this.#wake = wake));
    await Promise.race([pause(milliseconds), woken]);
  }
}
