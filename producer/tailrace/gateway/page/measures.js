/** The measures of an answer, in words, with the verdicts of the gateway. */

import { element } from "./element.js";

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

const FINISHES = {
  length: "cut at the token limit",
  content_filter: "stopped by the content filter",
  refusal: "declined",
  tool_calls: "waits for tools",
};

/**
 * Make the line below an answer.
 * @param {any} ending The last event of the job.
 * @param {Record<string, string>} verdicts The verdicts by the names of the measures, as the job's `timing` has them.
 * @returns {HTMLElement[]}
 */
export function measuresOf(ending, verdicts) {
  const known = [
    ["ttft_ms", "first token", milliseconds(ending.ttft_ms)],
    ["tokens_per_second", "", counted(ending.tokens_per_second, "tokens/s")],
    ["duration_ms", "ran", milliseconds(ending.duration_ms)],
    ["queued_ms", "queued", milliseconds(ending.queued_ms)],
    ["input_tokens", "", counted(ending.input_tokens, "tokens in")],
    ["cached_input_tokens", "", ending.cached_input_tokens && counted(ending.cached_input_tokens, "cached")],
    ["output_tokens", "", counted(ending.output_tokens, "tokens out")],
    ["reasoning_tokens", "", ending.reasoning_tokens && counted(ending.reasoning_tokens, "for thinking")],
    ["finish_reason", "", FINISHES[ending.finish_reason]],
  ];
  return known
    .filter(([, , told]) => told)
    .map(([name, label, told]) => measure(name, `${label} ${told}`.trim(), verdicts[name]));
}

/** @param {number} count */
export function told(count) {
  return number.format(count);
}

function measure(name, text, verdict) {
  const line = element("li", { "data-measure": name }, text);
  if (verdict) {
    line.dataset.verdict = verdict;
    line.append(" ", element("span.verdict", {}, verdict));
  }
  return line;
}

function milliseconds(value) {
  if (value === undefined) return "";
  return value < 1_000 ? `${number.format(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
}

function counted(value, unit) {
  return value === undefined ? "" : `${number.format(value)} ${unit}`;
}
