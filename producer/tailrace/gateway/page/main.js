/** The page: it enqueues prompts, follows their answers, and lists recent jobs. */

import { Composer } from "./composer.js";
import { EventStream } from "./event_stream.js";
import { Gateway } from "./gateway.js";
import { askForKey } from "./key_dialog.js";
import { RecentJobs } from "./recent_jobs.js";
import { Turns } from "./turns.js";

const TITLE_LENGTH = 120;
const LOOK_AGAIN_MS = 2_000;

let lookingAgain;
const at = (id) => document.getElementById(id);
const gateway = new Gateway(askForKey);
const stream = new EventStream(gateway, (isConnected) => {
  at("connection").hidden = isConnected;
});
const recent = new RecentJobs(at("jobs"), gateway, openJob);
const turns = new Turns(at("turns"), gateway, stream, {
  announce: (line) => (at("announcement").textContent = line),
  changed: () => {
    at("empty").hidden = !turns.isEmpty;
    recent.refresh();
  },
});
const composer = new Composer(send);

at("new").addEventListener("click", () => {
  turns.clear();
  at("prompt").focus();
});
at("menu").addEventListener("click", () => showRecent(!document.body.classList.contains("menu")));
at("veil").addEventListener("click", () => showRecent(false));
addEventListener("keydown", (event) => {
  if (event.key === "Escape") showRecent(false);
});
for (const example of document.querySelectorAll("#empty button")) {
  example.addEventListener("click", () => composer.suggest(example.dataset.prompt));
}
addEventListener("focus", () => {
  recent.refresh();
  offerProviders();
});

// On a phone it would bring up the keyboard.
if (matchMedia("(hover: hover)").matches) at("prompt").focus();
turns.restore();
at("empty").hidden = !turns.isEmpty;
recent.refresh();
offerProviders();

/** Looks until a worker runs. */
async function offerProviders() {
  clearTimeout(lookingAgain);
  let hasProviders = false;
  try {
    const offered = await gateway.json("v1/providers");
    composer.offer(offered);
    hasProviders = offered.providers.length > 0;
  } catch (error) {
    composer.complain(error.message);
  }
  if (!hasProviders) lookingAgain = setTimeout(offerProviders, LOOK_AGAIN_MS);
}

async function send(prompt, targets) {
  const labels = { title: Array.from(prompt.replace(/\s+/g, " ")).slice(0, TITLE_LENGTH).join("") };
  const messages = [{ role: "user", content: prompt }];
  const asked = targets.map((target) => gateway.enqueue({ ...target, messages, labels }));
  const settled = await Promise.allSettled(asked);
  const jobs = settled.filter(({ value }) => value).map(({ value }) => value);
  if (jobs.length) turns.add(prompt, jobs);
  const refused = settled.find(({ reason }) => reason);
  if (!refused) return;
  composer.complain(refused.reason.message);
  if (!jobs.length && !at("prompt").value) at("prompt").value = prompt;
}

function openJob(job) {
  showRecent(false);
  if (!turns.goTo(job.id)) turns.add(job.labels?.title ?? "", [job]);
}

function showRecent(isShown) {
  document.body.classList.toggle("menu", isShown);
  at("menu").setAttribute("aria-expanded", String(isShown));
}
