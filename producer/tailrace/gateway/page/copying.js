/** A button that copies a text. */

import { element } from "./element.js";

const TOLD_MS = 1_500;

/**
 * Make a button that copies a text.
 * @param {() => string} text
 * @returns {HTMLElement} The button; hidden where the page may not copy, because it came without TLS.
 */
export function copyButton(text) {
  const button = element("button.quiet", { type: "button", hidden: !navigator.clipboard }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => (button.textContent = "Copy"), TOLD_MS);
  });
  return button;
}
