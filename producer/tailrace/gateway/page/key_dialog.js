/** Asks for an API key. It is kept for this tab only, and sent only to the gateway that served the page. */

/**
 * Ask for an API key.
 * @param {string} message Why it is needed.
 * @returns {Promise<string>}
 */
export function askForKey(message) {
  const dialog = document.getElementById("key-dialog");
  const input = document.getElementById("key");
  document.getElementById("key-why").textContent = message;
  input.value = "";
  dialog.showModal();
  return new Promise((answer) => {
    // Without a key nothing works, so the dialog stays.
    dialog.oncancel = (event) => event.preventDefault();
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      dialog.close();
      answer(input.value.trim());
    };
  });
}
