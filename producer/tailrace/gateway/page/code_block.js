/** Blocks of code: colours, the name of the language, and a button that copies. */

import { copyButton } from "./copying.js";
import { element } from "./element.js";
import { safeHtml } from "./safe_html.js";
import hljs from "./vendor/highlight.min.js";

const MAX_COLOURED = 50_000; // Characters; more than that would hold up the page.

/**
 * Dress the blocks of code among these nodes.
 * @param {DocumentFragment} fragment
 */
export function dressCode(fragment) {
  for (const code of fragment.querySelectorAll("pre > code")) {
    const [, language = ""] = /(?:^| )language-([\w+#.-]+)/.exec(code.className) ?? [];
    const source = code.textContent;
    if (hljs.getLanguage(language) && source.length <= MAX_COLOURED) {
      code.replaceChildren(safeHtml(hljs.highlight(source, { language, ignoreIllegals: true }).value));
    }
    const pre = code.parentElement;
    pre.tabIndex = 0; // So that the keyboard can scroll it.
    const head = element("div.code-head", {}, element("span", {}, language || "text"), copyButton(() => source));
    const block = element("div.code");
    pre.replaceWith(block);
    block.append(head, pre);
  }
  for (const table of fragment.querySelectorAll(".table, .formula")) table.tabIndex = 0;
}
