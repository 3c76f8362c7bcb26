// Questions over the page, as <dialog>: the browser keeps the focus inside, and Escape ends them.

import { busy, fill, h, newId, problemBox } from "./dom.js";

/**
 * Ask, and do it; a problem is shown in the dialog, which stays open.
 * @param {Object} given title, content (nodes), label (of the button), danger, work(form)
 * @returns {Promise<boolean>} whether it was done
 */
export function ask({ title, content, label, danger = false, work }) {
  return new Promise((resolve) => {
    const heading = newId("dialog");
    const problem = h("div");
    const ok = h("button", { type: "submit", class: danger ? "danger" : "main" }, label);
    const cancel = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    const form = h(
      "form",
      { method: "dialog", novalidate: true },
      h("h2", { id: heading }, title),
      content,
      problem,
      h("div", { class: "row end" }, cancel, ok),
    );
    const dialog = h("dialog", { "aria-labelledby": heading }, form);
    let done = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!form.reportValidity()) return;
      busy(ok, async () => {
        try {
          await work(new FormData(form));
          done = true;
          dialog.close();
        } catch (error) {
          fill(problem, problemBox(error));
        }
      });
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
    const first = form.querySelector("input, select");
    (first ?? (danger ? cancel : ok)).focus();
    first?.select?.();
  });
}

/** A labelled field. */
export function field(label, given, hint = "") {
  const id = newId("field");
  const hinted = hint ? newId("hint") : null;
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    h("input", { id, autocomplete: "off", "aria-describedby": hinted, ...given }),
    hinted && h("p", { id: hinted, class: "small" }, hint),
  );
}
