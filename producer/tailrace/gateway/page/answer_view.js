/** One answer on the page: it draws what its events say, and has the buttons that act on its job. */

import { Answer } from "./answer.js";
import { copyButton } from "./copying.js";
import { element, tell } from "./element.js";
import { drawSoon } from "./frames.js";
import { GrowingMarkdown } from "./growing_markdown.js";
import { ADDRESS } from "./markdown.js";
import { measuresOf, told } from "./measures.js";

const STATES = {
  queued: "Waiting for a worker",
  running: "Running",
  completed: "",
  failed: "Failed",
  cancelled: "Stopped",
  gone: "Gone",
};

/**
 * @typedef {object} Actions
 * @property {() => Promise<void>} stop
 * @property {() => Promise<void>} regenerate
 * @property {() => void} ended Called when nothing more will come.
 */

/** The view of one answer. It is a receiver of the job's events. */
export class AnswerView {
  element = element("article.answer");
  #actions;
  #verdicts = {};
  #isGone = false;
  /** Why the last thing that the person asked for could not be done. */
  #complaint = "";
  #shownSources = "";
  #text = new GrowingMarkdown();
  #who = element("h3.who");
  #state = element("span.state");
  #progress = element("span.progress");
  #history = element("ul.history", { hidden: true });
  #thinking = element("details.thinking", { hidden: true });
  #thought = element("summary");
  #thoughts = element("div.thoughts");
  #refusal = element("p.refusal", { hidden: true });
  #tools = element("div.tools");
  #sources = element("section.sources", { hidden: true });
  #boxes = element("details.boxes", { hidden: true });
  #notices = element("ul.notices", { hidden: true });
  #error = element("p.error", { hidden: true });
  #measures = element("ul.measures", { "aria-label": "Measures" });
  #stop = element("button.quiet.stop", { type: "button" }, "Stop");
  #regenerate = element("button.quiet", { type: "button", hidden: true }, "Regenerate");
  #copy = copyButton(() => this.answer.text);

  /**
   * @param {{id: string, provider: string, model: string}} job
   * @param {Actions} actions
   */
  constructor(job, actions) {
    this.answer = new Answer(job);
    this.#actions = actions;
    this.#stop.addEventListener("click", () => this.#act(this.#stop, actions.stop));
    this.#regenerate.addEventListener("click", () => this.#act(this.#regenerate, actions.regenerate));
    this.#thinking.append(this.#thought, this.#thoughts);
    this.element.dataset.job = job.id;
    this.element.append(
      element("header", {}, element("span.dot", { "aria-hidden": "true" }), this.#who, this.#state, this.#progress),
      this.#history,
      this.#thinking,
      this.#text.element,
      this.#refusal,
      this.#tools,
      this.#sources,
      this.#boxes,
      this.#notices,
      this.#error,
      element("footer", {}, this.#measures, element("div.actions", {}, this.#stop, this.#regenerate, this.#copy)),
    );
    this.draw();
  }

  /** @param {any} event */
  receive(event) {
    this.answer.receive(event);
    if (!this.answer.isOpen) this.#actions.ended();
    drawSoon(this);
  }

  restart() {
    this.answer.restart();
    drawSoon(this);
  }

  gone() {
    this.#isGone = true;
    this.#actions.ended();
    drawSoon(this);
  }

  /**
   * Show the verdicts on the measures.
   * @param {Record<string, string>} verdicts
   */
  judge(verdicts) {
    this.#verdicts = verdicts;
    drawSoon(this);
  }

  draw() {
    const { answer } = this;
    const state = this.#isGone ? "gone" : answer.state;
    const isOpen = answer.isOpen && !this.#isGone;
    this.element.dataset.state = state;
    this.element.ariaLabel = `Answer of ${answer.provider} ${answer.model}`;
    tell(this.#who, `${answer.provider} · ${answer.model}`);
    tell(this.#state, answer.ending?.reason ? `Stopped: ${answer.ending.reason}` : STATES[state]);
    tell(this.#progress, isOpen && answer.tokens ? this.#progressLine() : "");
    fillList(this.#history, answer.history);
    this.#drawThinking(isOpen);
    this.#text.show(answer.text);
    if (answer.ending) this.#text.finish();
    tell(this.#refusal, answer.refusal);
    this.#drawTools();
    this.#drawSources();
    this.#drawBoxes();
    fillList(this.#notices, answer.notices);
    tell(this.#error, this.#whatWentWrong());
    if (answer.ending) this.#measures.replaceChildren(...measuresOf(answer.ending, this.#verdicts));
    this.#stop.hidden = !isOpen;
    this.#regenerate.hidden = isOpen || this.#isGone;
    this.#copy.hidden = !answer.text || !navigator.clipboard;
  }

  #progressLine() {
    const rate = this.answer.tokensPerSecond(performance.now());
    return `~${told(this.answer.tokens)} tokens${rate ? ` · ~${told(rate)} tokens/s` : ""}`;
  }

  #drawThinking(isOpen) {
    const { reasoning, text, refusal, toolCalls } = this.answer;
    this.#thinking.hidden = !reasoning;
    if (!reasoning) return;
    const isThinking = isOpen && !text && !refusal && !toolCalls.size;
    const words = reasoning.trim().split(/\s+/);
    tell(this.#thought, isThinking ? `Thinking: …${words.slice(-12).join(" ")}` : `Thought ${told(words.length)} words`);
    if (this.#thoughts.textContent !== reasoning) this.#thoughts.textContent = reasoning;
  }

  #drawTools() {
    const calls = [...this.answer.toolCalls.values()];
    const views = this.#tools.children;
    while (views.length > calls.length) this.#tools.lastElementChild.remove();
    while (views.length < calls.length) this.#tools.append(toolView());
    calls.forEach((call, index) => {
      tell(views[index].querySelector("code"), call.name || "unnamed");
      tell(views[index].querySelector("pre"), indented(call.arguments));
    });
  }

  #drawSources() {
    const { sources } = this.answer;
    const keys = [...sources.keys()].join();
    this.#sources.hidden = !sources.size;
    if (keys === this.#shownSources) return;
    this.#shownSources = keys;
    const items = [...sources.values()].map(sourceView);
    this.#sources.replaceChildren(element("h4", {}, "Sources"), element("ol", {}, ...items));
  }

  #drawBoxes() {
    const { boxes } = this.answer;
    this.#boxes.hidden = !boxes.length;
    if (!boxes.length) return;
    const lines = boxes.map(({ label, x1, y1, x2, y2, scale }) => {
      const unit = scale ? ` of ${scale}` : "";
      return `${label ?? "box"}: ${x1}, ${y1} to ${x2}, ${y2}${unit}`;
    });
    const title = `${told(boxes.length)} bounding ${boxes.length === 1 ? "box" : "boxes"}`;
    this.#boxes.replaceChildren(
      element("summary", {}, title),
      element("ul", {}, ...lines.map((line) => element("li", {}, line))),
    );
  }

  #whatWentWrong() {
    const { ending } = this.answer;
    if (this.#isGone) return "This job expired, or it was deleted.";
    return this.#complaint || (ending?.type === "failed" ? `${ending.code}: ${ending.message}` : "");
  }

  async #act(button, action) {
    button.disabled = true;
    this.#complaint = "";
    try {
      await action();
    } catch (error) {
      this.#complaint = error.message;
    } finally {
      button.disabled = false;
      drawSoon(this);
    }
  }
}

function fillList(list, lines) {
  list.hidden = !lines.length;
  if (list.childElementCount === lines.length && list.lastElementChild?.textContent === lines.at(-1)) return;
  list.replaceChildren(...lines.map((line) => element("li", {}, line)));
}

function toolView() {
  const summary = element("summary", {}, "Tool call ", element("code"));
  return element("details.tool", { open: true }, summary, element("pre", { tabIndex: 0 }));
}

function indented(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    // It has not arrived as a whole.
    return json;
  }
}

function sourceView({ source, url, title, quote, file_id, source_index }) {
  const name = title || (url ?? file_id) || `${source.replace("_", " ")} ${(source_index ?? 0) + 1}`;
  const isLink = url && ADDRESS.test(url);
  const properties = isLink ? { href: url, target: "_blank", rel: "noopener noreferrer" } : {};
  const item = element("li", {}, element(isLink ? "a" : "span", properties, name));
  if (quote) item.append(element("blockquote", {}, quote));
  return item;
}
