/* Not a module: it runs before the first paint, so that nobody sees the wrong colours. */
"use strict";

(() => {
  const root = document.documentElement;
  const stored = localStorage.getItem("tailrace.theme");
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;

  const isDark = () => {
    const { theme } = root.dataset;
    return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const describe = () => {
      button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
    };
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      localStorage.setItem("tailrace.theme", root.dataset.theme);
      describe();
    });
    describe();
  });
})();
