/** The list of recent jobs, newest first. */

import { element } from "./element.js";

const SHOWN = 40;
const PAUSE_MS = 1_000;
const time = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

/** The list. */
export class RecentJobs {
  #list;
  #gateway;
  #open;
  #isDue = false;

  /**
   * @param {HTMLElement} list
   * @param {import("./gateway.js").Gateway} gateway
   * @param {(job: any) => void} open Opens a job.
   */
  constructor(list, gateway, open) {
    this.#list = list;
    this.#gateway = gateway;
    this.#open = open;
  }

  /** Look again soon: at most once a second, however much happens. */
  refresh() {
    if (this.#isDue) return;
    this.#isDue = true;
    setTimeout(() => this.#load(), PAUSE_MS);
  }

  async #load() {
    this.#isDue = false;
    let jobs;
    try {
      ({ jobs } = await this.#gateway.json(`v1/jobs?limit=${SHOWN}`));
    } catch {
      // The list stays as it is; the stream tells that the gateway is away.
      return;
    }
    const focused = this.#list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    const items = jobs.map((job) => element("li", {}, this.#item(job)));
    this.#list.replaceChildren(...(items.length ? items : [element("li.none", {}, "No jobs yet.")]));
    if (focused) this.#list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  }

  #item(job) {
    const button = element(
      "button.job",
      { type: "button", "data-id": job.id, "data-state": job.state },
      element("span.dot", { "aria-hidden": "true" }),
      element("span.title", {}, job.labels?.title || job.model),
      element("span.about", {}, `${job.state} · ${ago(job.queued_at)} · ${job.provider} ${job.model}`),
    );
    button.addEventListener("click", () => this.#open(job));
    return button;
  }
}

function ago(at) {
  if (!at) return "";
  const minutes = Math.round((at - Date.now()) / 60_000);
  if (minutes > -60) return time.format(Math.min(0, minutes), "minute");
  return minutes > -1_440 ? time.format(Math.round(minutes / 60), "hour") : time.format(Math.round(minutes / 1_440), "day");
}
