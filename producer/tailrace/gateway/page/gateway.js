/** Calls the routes of the gateway that served this page, with an API key if it wants one. */

const KEY = "tailrace.key";
const TRIES = 4;

/** A response that is an error. */
export class GatewayError extends Error {
  /**
   * @param {number} status The HTTP status; 0 if the gateway could not be reached.
   * @param {string} code
   * @param {string} message
   * @param {number | null} retryAfterSeconds
   */
  constructor(status, code, message, retryAfterSeconds = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** True if the same request may succeed a little later. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

/** The gateway that served this page. */
export class Gateway {
  #askForKey;
  #asking = null;

  /**
   * @param {(message: string) => Promise<string>} askForKey Asks the person for an API key.
   */
  constructor(askForKey) {
    this.#askForKey = askForKey;
  }

  /**
   * Request a route.
   * @param {string} path Relative to the page, so that a gateway may be mounted anywhere.
   * @param {{method?: string, body?: object, headers?: Record<string, string>, signal?: AbortSignal}} options
   * @returns {Promise<Response>} A response that is no error.
   * @throws {GatewayError}
   */
  async request(path, { method = "GET", body, headers = {}, signal } = {}) {
    while (true) {
      const key = sessionStorage.getItem(KEY);
      const response = await this.#fetch(path, {
        method,
        signal,
        cache: "no-store",
        headers: {
          ...headers,
          ...(body && { "Content-Type": "application/json" }),
          ...(key && { Authorization: `Bearer ${key}` }),
        },
        body: body && JSON.stringify(body),
      });
      if (response.ok) return response;
      const error = await errorOf(response);
      if (response.status !== 401) throw error;
      // Another request may have asked meanwhile.
      if (sessionStorage.getItem(KEY) === key) await this.#renewKey(error.message);
    }
  }

  /**
   * Request JSON, again if the gateway cannot answer for the moment.
   * @returns {Promise<any>}
   * @throws {GatewayError}
   */
  async json(path, options) {
    for (let tried = 1; ; tried += 1) {
      try {
        return await (await this.request(path, options)).json();
      } catch (error) {
        if (!(error instanceof GatewayError) || !error.isPassing || tried === TRIES) throw error;
        await pause(1000 * Math.min(error.retryAfterSeconds ?? tried, 5));
      }
    }
  }

  /**
   * Enqueue a job. A repetition after a broken connection makes no second job.
   * @param {object} body
   * @returns {Promise<any>} The job.
   * @throws {GatewayError}
   */
  enqueue(body) {
    return this.json("v1/jobs", { method: "POST", body, headers: { "Idempotency-Key": randomName() } });
  }

  async #fetch(path, options) {
    try {
      return await fetch(new URL(path, document.baseURI), options);
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new GatewayError(0, "unreachable", "The gateway cannot be reached.");
    }
  }

  async #renewKey(message) {
    this.#asking ??= this.#askForKey(message);
    try {
      sessionStorage.setItem(KEY, await this.#asking);
    } finally {
      this.#asking = null;
    }
  }
}

/** @param {number} milliseconds */
export function pause(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

async function errorOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  try {
    const { error } = await response.json();
    return new GatewayError(response.status, error.code, error.message, retryAfter);
  } catch {
    return new GatewayError(response.status, "unknown", `The gateway answered ${response.status}.`, retryAfter);
  }
}

function randomName() {
  // `crypto.randomUUID` exists only where the page came over TLS or the loopback.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
