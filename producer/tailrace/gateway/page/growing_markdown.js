/** Markdown that grows. What is final is drawn once; only the last block is drawn again. */

import { dressCode } from "./code_block.js";
import { element } from "./element.js";
import { markdown } from "./markdown.js";
import { safeHtml } from "./safe_html.js";

const LINE_END = /\r\n|\r|\n/g;
const DEFINITION = /^ {0,3}\[[^\]]+\]:/m;

/** The element of a text in Markdown. */
export class GrowingMarkdown {
  element = element("div.markdown");
  #text = "";
  #finalLength = 0;
  #definitions = {};
  #isFinished = false;
  /** The nodes of the last block. @type {ChildNode[]} */
  #open = [];

  /**
   * Show a text. If it goes on with the text before, only its new part is drawn.
   * @param {string} text
   */
  show(text) {
    if (text === this.#text) return;
    if (this.#isFinished || !text.startsWith(this.#text)) this.#begin();
    this.#text = text;
    const source = text.slice(this.#finalLength);
    const tokens = markdown.parse(source, this.#definitions);
    const lines = lineBegins(source);
    const split = this.#beginOfLast(tokens, lines.length - 1);
    this.#removeOpen();
    if (split > 0) {
      this.element.append(this.#drawn(tokens.slice(0, split)));
      this.#finalLength += lines[tokens[split].map[0]];
    }
    const fragment = this.#drawn(tokens.slice(split));
    this.#open = [...fragment.childNodes];
    this.element.append(fragment);
  }

  /** Draw the whole text once more, if a link in it may have been defined after it was used. */
  finish() {
    const text = this.#text;
    if (this.#isFinished || !DEFINITION.test(text)) return;
    this.#begin();
    this.element.append(this.#drawn(markdown.parse(text, this.#definitions)));
    this.#text = text;
    this.#isFinished = true;
  }

  #begin() {
    this.element.replaceChildren();
    this.#text = "";
    this.#finalLength = 0;
    this.#definitions = {};
    this.#isFinished = false;
    this.#open = [];
  }

  #removeOpen() {
    for (const node of this.#open) node.remove();
  }

  /**
   * The index of the token at which the last block begins that no later character can change into another one. Its
   * first line has to be complete: `---` and `***` become other things as they grow.
   */
  #beginOfLast(tokens, completeLines) {
    let found = 0;
    tokens.forEach((token, index) => {
      if (token.level === 0 && token.nesting >= 0 && token.map && token.map[0] < completeLines) found = index;
    });
    return found;
  }

  #drawn(tokens) {
    const fragment = safeHtml(markdown.renderer.render(tokens, markdown.options, this.#definitions));
    dressCode(fragment);
    return fragment;
  }
}

/** The offsets at which the lines begin. */
function lineBegins(source) {
  return [0, ...Array.from(source.matchAll(LINE_END), ({ index, 0: end }) => index + end.length)];
}
