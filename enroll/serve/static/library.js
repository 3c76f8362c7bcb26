// The photo library: who waits for a name, whom the model suggests, what was ignored; undo.

import { call, follow, get } from "./api.js";
import { action, count, fill, h, loading, problemBox, say } from "./dom.js";
import { listFaces, listPhotos } from "./libraryfaces.js";
import { digitOf } from "./librarynames.js";
import { keyList, rows } from "./libraryrows.js";

const PARTS = {
  "": { title: "Groups", lead: "Unknown faces that are one person most probably, the largest group first; in each, the faces that fit least come first." },
  suggestions: { title: "Suggestions", lead: "Unknown faces that are probably someone who is enrolled; the most doubtful come first." },
  ignored: { title: "Ignored", lead: "Strangers whom you left out. They can be taken back." },
  "probably-ignored": { title: "Probably ignored", lead: "New faces that are like people whom you ignored, so groups leave them out. Ignore them, too, or take them back." },
  "not-faces": { title: "Not faces", lead: "What was taken for a face and is none. It can be taken back." },
};
const ROOT = "/api/v1/library";

/** Make the view; `place` is the part, or person/NAME. */
export function libraryView(place) {
  const [part, ...rest] = place.split("/");
  const person = part === "person" ? rest.join("/") : null;
  const shown = PARTS[part] ? part : "";
  const facts = h("p", { class: "lead" });
  const problem = h("div");
  const body = h("div", {}, loading());
  const leftOut = h("p", { class: "small left-out" });
  const undoLabel = h("span");
  const undo = h("button", { type: "button", "aria-keyshortcuts": "Z", "aria-disabled": "true", onclick: takeBack }, undoLabel, h("kbd", {}, "Z"));
  const group = action("Group new faces", groupFaces, { place: problem });
  group.hidden = true;
  let list = null;
  let left = false;

  function tell(state) {
    fill(facts, told(state));
    const many = shown === "" && person === null && state.probably_ignored;
    fill(leftOut, many > 0 && [`${count(many, "face")} left out, like people you ignored. `, h("a", { href: "#/library/probably-ignored" }, "Look at them.")]);
    const last = state.last?.what;
    undoLabel.textContent = last ? `Undo: ${last}` : "Nothing to undo";
    if (last) undo.removeAttribute("aria-disabled");
    else undo.setAttribute("aria-disabled", "true");
    group.hidden = !state.ungrouped || shown !== "" || person !== null;
  }

  /** Decide something; gives whether it was done. What goes wrong is shown, and what is there stays. */
  async function decide(json) {
    fill(problem);
    try {
      const done = await call("POST", `${ROOT}/decisions`, { json });
      tell(done.library);
      say(`${done.what}. ${done.library.unknown} faces wait.`);
      return true;
    } catch (error) {
      fill(problem, problemBox(error));
      return false;
    }
  }

  async function takeBack() {
    if (undo.getAttribute("aria-disabled") === "true") return;
    undo.setAttribute("aria-disabled", "true");
    fill(problem);
    try {
      const done = await call("POST", `${ROOT}/undo`, { json: { steps: 1 } });
      tell(done.library);
      say(done.undone.length ? `Undone: ${done.undone[0]}.` : "Nothing to undo.");
      await list?.load();
    } catch (error) {
      fill(problem, problemBox(error));
      undo.removeAttribute("aria-disabled");
    }
  }

  async function groupFaces() {
    const job = await call("POST", `${ROOT}/groups`, { json: {} });
    fill(problem, loading("Grouping faces; of many this takes a minute…"));
    const found = await follow(job, () => {});
    fill(problem);
    tell(await get(ROOT));
    say(`${count(found.groups, "group")} of ${count(found.faces, "face")}.`);
    await list?.load();
  }

  async function enter() {
    document.addEventListener("keydown", pressed);
    try {
      const state = await get(ROOT);
      if (left) return;
      tell(state);
      if (state.photos === 0) {
        fill(body, nothing(state));
        return;
      }
      const kind = person !== null ? "person" : shown;
      const context = { root: ROOT, decide, part: shown, problem };
      list = person !== null ? listPhotos(person, context) : shown === "" || shown === "suggestions" ? rows(context) : listFaces(context);
      fill(body, list.node);
      keys.hidden = kind !== "" && kind !== "suggestions";
      await (list.begin ?? list.load)();
      if (shown === "" && state.ungrouped === state.unknown && state.unknown > 0) await groupFaces();
    } catch (error) {
      if (!left) fill(body, problemBox(error, action("Try again", enter)));
    }
  }

  function pressed(event) {
    const at = document.activeElement;
    if (event.ctrlKey || event.altKey || event.metaKey || at?.closest("dialog, input, select, textarea")) return;
    if (at !== document.body && !node.contains(at)) return;
    const digit = digitOf(event);
    if ((digit && event.repeat) || (!digit && /^[1-9]$/.test(event.key))) return; // held: it names one group, not all
    const key = digit ?? (event.key.length === 1 ? event.key.toLowerCase() : event.key);
    if (key === "z") takeBack();
    else if (key === "?") keys.open = !keys.open;
    else if (!list?.press?.(key, at)) return;
    event.preventDefault();
  }

  const keys = keyList(shown);
  const title = person !== null ? h("bdi", { class: "name" }, person) : "Library";
  const node = h(
    "div",
    { class: "library" },
    person !== null && h("p", {}, h("a", { href: `#/people/${encodeURIComponent(person)}` }, "← This person")),
    h("h1", { tabindex: "-1" }, title, person !== null && ": photos by date"),
    facts,
    person === null && parts(shown),
    person === null && h("p", { class: "small" }, PARTS[shown].lead),
    h("div", { class: "row tools" }, undo, group),
    keys,
    problem,
    body,
    leftOut,
  );
  keys.hidden = true;
  return {
    node,
    title: person ?? "Library",
    enter,
    leave() {
      left = true;
      document.removeEventListener("keydown", pressed);
    },
  };
}

function parts(shown) {
  const links = Object.entries(PARTS).map(([part, { title }]) =>
    h("li", {}, h("a", { href: part ? `#/library/${part}` : "#/library", "aria-current": part === shown ? "true" : null }, title)),
  );
  return h("nav", { class: "parts", "aria-label": "Parts of the library" }, h("ul", {}, links));
}

function told(state) {
  if (state.photos === 0) return "";
  const faces = [`${state.unknown} wait for a name`, `${state.confirmed} confirmed`, state.ignored && `${state.ignored} ignored`, state.probably_ignored && `${state.probably_ignored} probably ignored`, state.not_faces && `${state.not_faces} not faces`];
  const missing = state.missing ? ` ${count(state.missing, "photo")} not found by the last scan.` : "";
  const stale = state.stale ? ` ${count(state.stale, "face")} seen by another model: scan again.` : "";
  return `${count(state.photos, "photo")}, ${count(state.faces, "face")}: ${faces.filter(Boolean).join(", ")}.${missing}${stale}`;
}

function nothing(state) {
  return h(
    "div",
    { class: "card hint" },
    h("h2", {}, "No photos were scanned yet"),
    h("p", {}, "On the machine of the server, run ", h("code", {}, state.command), " with the folder of your photos and the gallery of this server. The photos stay where they are and are not changed."),
    h("p", {}, "Then come back: the faces found are here, in groups that wait for a name."),
  );
}
