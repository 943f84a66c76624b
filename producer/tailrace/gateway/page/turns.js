/** The prompts of this tab and their answers. A reload shows them again, from the beginning of each answer. */

import { AnswerView } from "./answer_view.js";
import { element } from "./element.js";

const TURNS = "tailrace.turns";

/**
 * @typedef {{id: string, provider: string, model: string}} OpenJob
 * @typedef {{prompt: string, jobs: OpenJob[]}} Turn
 */

/** The list of turns. */
export class Turns {
  #list;
  #gateway;
  #stream;
  #announce;
  #changed;
  /** @type {Turn[]} */
  #turns = [];

  /**
   * @param {HTMLElement} list Where they are shown.
   * @param {import("./gateway.js").Gateway} gateway
   * @param {import("./event_stream.js").EventStream} stream
   * @param {{announce: (line: string) => void, changed: () => void}} told Called when an answer begins or ends.
   */
  constructor(list, gateway, stream, { announce, changed }) {
    this.#list = list;
    this.#gateway = gateway;
    this.#stream = stream;
    this.#announce = announce;
    this.#changed = changed;
  }

  /** Show what was open before a reload. */
  restore() {
    for (const turn of JSON.parse(sessionStorage.getItem(TURNS) ?? "[]")) this.#show(turn);
  }

  /**
   * Add a turn, and read its answers.
   * @param {string} prompt
   * @param {OpenJob[]} jobs
   */
  add(prompt, jobs) {
    const opened = jobs.map(({ id, provider, model }) => ({ id, provider, model }));
    this.#show({ prompt, jobs: opened });
    this.#save();
    this.#list.lastElementChild.scrollIntoView({ block: "start" });
  }

  /**
   * Go to the answer of a job if it is open.
   * @param {string} jobId
   * @returns {boolean} False if it is not.
   */
  goTo(jobId) {
    const shown = this.#list.querySelector(`[data-job="${CSS.escape(jobId)}"]`);
    shown?.scrollIntoView({ block: "start" });
    return shown !== null;
  }

  /** Show nothing. The jobs go on. */
  clear() {
    for (const { id } of this.#turns.flatMap((turn) => turn.jobs)) this.#stream.leave(id);
    this.#turns = [];
    this.#list.replaceChildren();
    this.#save();
  }

  get isEmpty() {
    return this.#turns.length === 0;
  }

  #save() {
    sessionStorage.setItem(TURNS, JSON.stringify(this.#turns));
    this.#changed();
  }

  #show(turn) {
    this.#turns.push(turn);
    const answers = element("div.answers", { "data-count": turn.jobs.length });
    for (const job of turn.jobs) answers.append(this.#follow(turn, job).element);
    this.#list.append(element("section.turn", {}, element("h2.prompt", {}, turn.prompt), answers));
  }

  #follow(turn, job) {
    const view = new AnswerView(job, {
      stop: async () => {
        const body = { reason: "stopped on the page" };
        await this.#gateway.json(`v1/jobs/${view.answer.id}/cancel`, { method: "POST", body });
      },
      regenerate: () => this.#regenerate(turn, view),
      ended: () => this.#ended(view),
    });
    this.#stream.follow(job.id, view);
    return view;
  }

  async #regenerate(turn, old) {
    const path = `v1/jobs/${old.answer.id}/regenerate`;
    const { id, provider, model } = await (await this.#gateway.request(path, { method: "POST" })).json();
    const job = { id, provider, model };
    turn.jobs = turn.jobs.map((each) => (each.id === old.answer.id ? job : each));
    const view = this.#follow(turn, job);
    old.element.replaceWith(view.element);
    this.#save();
  }

  async #ended(view) {
    const { provider, model, state, ending } = view.answer;
    this.#changed();
    if (!ending) return;
    this.#announce(`The answer of ${provider} ${model} is ${state}.`);
    try {
      const { timing } = await this.#gateway.json(`v1/jobs/${view.answer.id}`);
      view.judge(timing?.verdicts ?? {});
    } catch {
      // The measures are shown without verdicts.
    }
  }
}
