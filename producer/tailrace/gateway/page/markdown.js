/** Markdown as models write it. HTML in it is text, images are links, and formulas are MathML. */

import { formulas } from "./formulas.js";
import MarkdownIt from "./vendor/markdown-it.esm.min.mjs";

/** The addresses that a link of an answer may have. */
export const ADDRESS = /^(https?:\/\/|mailto:)/i;

const markdown = new MarkdownIt({ html: false, linkify: true, maxNesting: 40 });
markdown.use(formulas);
markdown.validateLink = (url) => ADDRESS.test(url.trim());
// Otherwise `main.py` is a link to Paraguay.
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false });

const { rules } = markdown.renderer;
const { escapeHtml } = markdown.utils;

// A picture that is loaded tells its server that this person reads the answer now.
rules.image = (tokens, index) => {
  const token = tokens[index];
  const url = escapeHtml(token.attrGet("src"));
  return `<a href="${url}">${escapeHtml(token.content || token.attrGet("src"))} (image)</a>`;
};
rules.table_open = () => '<div class="table"><table>';
rules.table_close = () => "</table></div>";
rules.th_open = rules.td_open = (tokens, index) => {
  const token = tokens[index];
  const [, side] = /text-align:\s*(left|center|right)/.exec(token.attrGet("style") ?? "") ?? [];
  return `<${token.tag}${side ? ` class="${side}"` : ""}>`;
};

export { markdown };
