/** The form for a prompt, and for whom it asks: one model, or several at once. */

import { element } from "./element.js";

const TARGETS = "tailrace.targets";
const MODELS = "tailrace.models";
const MAX_TARGETS = 4;
const MAX_MODELS = 20;
const NO_WORKER = "No worker is running: `tailrace worker` starts one. Jobs wait until then.";

/**
 * @typedef {{provider: string, model: string}} Target
 */

/** The form. */
export class Composer {
  #form = document.getElementById("composer");
  #prompt = document.getElementById("prompt");
  #targets = document.getElementById("targets");
  #more = document.getElementById("more");
  #known = document.getElementById("models");
  #complaint = document.getElementById("complaint");
  #providers = [];

  /** @param {(prompt: string, targets: Target[]) => void} send */
  constructor(send) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send(send);
    });
    this.#prompt.addEventListener("keydown", (event) => {
      // While an input method composes a character, Enter belongs to it.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    this.#prompt.addEventListener("input", () => this.complain(""));
    this.#more.addEventListener("click", () => {
      const last = this.#chosen().at(-1);
      this.#addTarget({ provider: last?.provider ?? "", model: "" }).querySelector("input").focus();
    });
    for (const target of stored(TARGETS, [])) this.#addTarget(target);
    if (!this.#targets.childElementCount) this.#addTarget({ provider: "", model: "" });
    this.#fillModels();
  }

  /**
   * Offer the providers that the workers can call.
   * @param {{providers: {name: string}[], chat_provider?: string, chat_model?: string}} offered
   */
  offer({ providers, chat_provider: provider, chat_model: model }) {
    const names = providers.map(({ name }) => name);
    if (!names.length) this.complain(NO_WORKER);
    else if (this.#complaint.textContent === NO_WORKER) this.complain("");
    // A list that is open stays so.
    if (names.join() === this.#providers.join()) return;
    this.#providers = names;
    for (const row of this.#targets.children) {
      const [select, input] = row.querySelectorAll("select, input");
      const chosen = select.value || provider || this.#providers[0] || "";
      select.replaceChildren(...this.#options(chosen));
      select.value = chosen;
      if (!input.value && model && chosen === provider) input.value = model;
    }
  }

  /**
   * Put a text into the form.
   * @param {string} prompt
   */
  suggest(prompt) {
    this.#prompt.value = prompt;
    this.#prompt.focus();
  }

  /**
   * Show what is missing or wrong.
   * @param {string} message
   */
  complain(message) {
    this.#complaint.textContent = message;
    this.#complaint.hidden = !message;
  }

  #send(send) {
    const prompt = this.#prompt.value.trim();
    if (!prompt) return;
    const targets = this.#chosen();
    const nameless = [...this.#targets.querySelectorAll("input")].find((input) => !input.value.trim());
    if (nameless) {
      this.complain("Name a model of the provider.");
      nameless.focus();
      return;
    }
    this.complain("");
    this.#prompt.value = "";
    localStorage.setItem(TARGETS, JSON.stringify(targets));
    const models = [...new Set([...targets.map(({ model }) => model), ...stored(MODELS, [])])];
    localStorage.setItem(MODELS, JSON.stringify(models.slice(0, MAX_MODELS)));
    this.#fillModels();
    send(prompt, targets);
  }

  /** @returns {Target[]} */
  #chosen() {
    return [...this.#targets.children].map((row) => {
      const [select, input] = row.querySelectorAll("select, input");
      return { provider: select.value, model: input.value.trim() };
    });
  }

  #addTarget({ provider, model }) {
    const select = element("select", { "aria-label": "Provider" }, ...this.#options(provider));
    select.value = provider;
    const input = element("input", { type: "text", value: model, placeholder: "model", autocomplete: "off" });
    input.setAttribute("aria-label", "Model");
    input.setAttribute("list", "models");
    input.spellcheck = false;
    const remove = element("button.quiet", { type: "button", "aria-label": "Remove this model" }, "×");
    const row = element("div.target", {}, select, input, remove);
    remove.addEventListener("click", () => {
      row.remove();
      this.#limitTargets();
    });
    this.#targets.append(row);
    this.#limitTargets();
    return row;
  }

  #limitTargets() {
    const count = this.#targets.childElementCount;
    this.#targets.classList.toggle("several", count > 1);
    this.#more.hidden = count >= MAX_TARGETS;
  }

  #options(chosen) {
    const names = new Set([...this.#providers, chosen].filter(Boolean));
    return [...names].map((name) => element("option", { value: name }, name));
  }

  #fillModels() {
    this.#known.replaceChildren(...stored(MODELS, []).map((model) => element("option", { value: model })));
  }
}

function stored(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}
