// Elements, made without HTML: whatever a name holds, it is text.

/**
 * Make an element.
 * @param {string} tag
 * @param {Object} [given] attributes; functions become listeners, `true` an empty attribute, null none
 * @param {...(Node|string|number|null|Array)} children strings become text
 */
export function h(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(name.replace(/^on/, ""), value);
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  return put(made, ...children);
}

/** Make an element of SVG. */
export function svg(tag, given = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(given)) made.setAttribute(name, value);
  return put(made, ...children);
}

function put(parent, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) parent.append(child);
  }
  return parent;
}

/** Replace what an element holds. */
export function fill(parent, ...children) {
  parent.replaceChildren();
  return put(parent, ...children);
}

/** A name: text of any direction that does not turn the text around it. */
export const named = (name) => h("bdi", { class: "name" }, name);

/** Say something to whoever cannot see it change. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

export const count = (number, one, more = `${one}s`) => `${number} ${number === 1 ? one : more}`;
export const people = (number) => count(number, "person", "people");
export const near = (distance) => distance.toFixed(3);

/** A share in percent; the number and the sign stay on one line. */
export function percent(share) {
  const shown = 100 * share;
  return `${shown >= 10 || shown === 0 ? Math.round(shown) : Number(shown.toPrecision(2))}\u00a0%`;
}

/** A probability in percent, which is never certain. */
export const sure = (share) => (share > 0.999 ? "more than 99.9\u00a0%" : percent(share));

let last = 0;
/** An id that nothing else of the page has. */
export const newId = (start) => `${start}-${++last}`;

/** A button that is off while its work runs, and shows in `place` what went wrong. */
export function action(label, work, { kind = "", place = null, name = null } = {}) {
  const button = h("button", { type: "button", class: kind, "aria-label": name }, label);
  button.addEventListener("click", () => busy(button, work, place));
  return button;
}

/** Run work with a button off. */
export async function busy(button, work, place) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true"); // not `disabled`: the focus would be lost
  if (place) fill(place);
  try {
    await work();
  } catch (error) {
    if (!place) throw error;
    fill(place, problemBox(error));
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

// Where the server's advice is for programs.
const ADVICE = {
  "/problems/unknown-face": "It may have been erased meanwhile: load the page again.",
  "/problems/unknown-person": "They may have been renamed or removed meanwhile: People lists who is there.",
  "/problems/unknown-photo": "It may have been removed meanwhile: load the page again.",
  "/problems/too-many": "Wait a moment, then try again.",
  "/problems/busy": "Wait a moment, then try again.",
  "/problems/not-ready": "Wait a moment, then try again; the log of the server says why.",
};

/** What went wrong, and what to do. */
export function problemBox(error, ...buttons) {
  const facts = error.facts ?? { title: "The page made a mistake", detail: String(error), advice: "Load it again." };
  const reasons = (facts.errors ?? []).map((one) => h("li", {}, `${one.photo ?? one.where}: ${one.reason}`));
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", {}, h("strong", {}, facts.title), ": ", facts.detail),
    reasons.length > 1 && h("ul", {}, reasons),
    facts.advice && h("p", { class: "advice" }, ADVICE[facts.type] ?? facts.advice),
    facts.request_id && h("p", { class: "small" }, `Request ${facts.request_id}`),
    buttons.length > 0 && h("div", { class: "row" }, buttons),
  );
}

/** What the server says for the command line, as this page does it. */
export const here = (text) =>
  text
    .replace("run `embed calibrate` again", "calibrate again")
    .replace("`embed calibrate` adds the gallery's own comparisons", "calibrating adds the gallery's own comparisons")
    .replace("`embed calibrate` compares all", "calibrating compares all")
    .replace("`embed calibrate` would give", "a calibration would give");

/** What is shown while something is fetched. */
export const loading = (text = "Loading…") => h("p", { class: "loading" }, text);
