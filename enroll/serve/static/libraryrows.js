// Groups and suggestions as rows of faces. One key for each decision; every key has a button, too.

import { get } from "./api.js";
import { face as crop } from "./crops.js";
import { action, busy, count, fill, h, loading, named, near, newId, problemBox, say } from "./dom.js";
import { MOST, namesOf } from "./librarynames.js";
import { photoDialog } from "./libraryphoto.js";
import { nameField } from "./names.js";

const PAGE = 20;
const FACES = 12;
const COMMON = [
  ["J", "or ↓", "next row"],
  ["K", "or ↑", "row before"],
  ["→", "or ←", "next face, face before"],
  ["X", "or Space", "leave a face out, or take it in again"],
  ["P", "", "the face in its photo"],
  ["1", "to 9", "the suggestion of that number: that is who they are"],
];
const KEYS = {
  "": [...COMMON, ["N", "or Enter", "name the group"], ["I", "", "ignore: strangers"], ["O", "", "not faces"], ["M", "", "mark, then M on another row: one person"], ["S", "", "split off what is left out"]],
  suggestions: [...COMMON, ["Y", "or Enter", "yes, that is who they are"], ["N", "", "not this person"], ["I", "", "ignore: strangers"], ["O", "", "not faces"]],
};

/** The keys of a part, as a list that can be closed. */
export function keyList(part) {
  const listed = [...(KEYS[part] ?? []), ["Z", "", "undo"], ["?", "", "show or hide this list"]];
  return h(
    "details",
    { class: "keys", open: window.matchMedia("(min-width: 40rem)").matches },
    h("summary", {}, "Keys"),
    h("dl", {}, listed.map(([key, or, what]) => h("div", {}, h("dt", {}, h("kbd", {}, key), or && h("span", { class: "small" }, ` ${or}`)), h("dd", {}, what)))),
  );
}

/** Make the rows of a part. */
export function rows({ root, decide, part, problem }) {
  const suggesting = part === "suggestions";
  const list = h("ul", { class: "rows", "aria-label": suggesting ? "People" : "Groups" });
  const more = h("p", { class: "more" });
  const node = h("div", {}, loading(suggesting ? "Comparing faces with everyone enrolled…" : "Loading…"));
  let made = new Map(); // rows that are shown, by what they show
  let marked = null; // the group that another one is to be merged with
  let wanted = PAGE;
  let index = 0;
  let loads = 0;

  async function load(focus = true) {
    const mine = ++loads;
    // Groups come without names first: the first time, names take long.
    const asked = `${root}/${suggesting ? "suggestions" : "groups"}?limit=${wanted}&faces=${FACES}`;
    const withNames = `${asked}&names=${MOST}`;
    let found;
    try {
      found = await get(suggesting ? withNames : asked);
    } catch (error) {
      if (["busy", "too-slow"].includes(error.kind) && node.isConnected) {
        await new Promise((resolve) => setTimeout(resolve, 1000 * (error.wait || 2))); // the first time takes long
        return load(focus);
      }
      fill(node, problemBox(error, action("Try again", () => load())));
      return;
    }
    const before = made;
    made = new Map();
    const entries = (suggesting ? found.people : found.groups).map((entry) => {
      const key = `${entry.id ?? entry.name} ${entry.size} ${(entry.ids ?? entry.faces.map((one) => one.face)).join()}`;
      const row = before.get(key) ?? makeRow(entry);
      row.offer(suggesting ? entry.names : null);
      made.set(key, row);
      return row;
    });
    if (!entries.includes(marked)) mark(null);
    const had = node.contains(document.activeElement) || document.activeElement === document.body;
    list.replaceChildren(...entries.map((row) => row.node));
    const rest = found.total - entries.length;
    fill(more, rest > 0 && action(`Show more of ${found.total}`, () => ((wanted += PAGE), load(false))), !suggesting && found.alone > 0 && h("span", { class: "small" }, ` ${count(found.alone, "face")} more in no group.`));
    if (entries.length === 0) fill(node, empty(suggesting, found));
    else if (list.parentNode !== node || more.parentNode !== node) fill(node, list, more);
    if (focus && had && entries.length) select(Math.min(index, entries.length - 1));
    if (!suggesting && entries.length) offer(withNames, mine);
  }

  /** Show who the groups may be, unless they were loaded again meanwhile. */
  async function offer(asked, mine) {
    let found;
    try {
      found = await get(asked);
    } catch (error) {
      if (mine !== loads || !node.isConnected) return;
      if (!["busy", "too-slow"].includes(error.kind)) return fill(problem, problemBox(error));
      await new Promise((resolve) => setTimeout(resolve, 1000 * (error.wait || 2)));
      return offer(asked, mine);
    }
    if (mine !== loads) return;
    const names = new Map(found.groups.map((group) => [group.id, group]));
    for (const row of all()) {
      const group = names.get(row.entry.id);
      if (group?.size === row.entry.size) row.offer(group.names);
    }
  }

  const all = () => [...made.values()];
  const current = () => all()[index];
  const rowOf = (focused) => all().find((row) => row.node.contains(focused)) ?? current();

  function select(number) {
    index = Math.max(0, Math.min(number, all().length - 1));
    const row = current();
    for (const other of all()) other.node.classList.toggle("current", other === row);
    row?.focus();
  }

  function mark(row) {
    marked?.node.classList.remove("marked");
    marked = row;
    marked?.node.classList.add("marked");
  }

  async function done(row, json) {
    index = all().indexOf(row);
    if (await decide(json)) await load();
    else row.focus();
  }

  function makeRow(entry) {
    const left = new Set(); // numbers of faces that are left out
    let faces = entry.faces;
    let at = 0;
    const heading = newId("row");
    const title = suggesting ? ["Is this ", named(entry.name), "?"] : `${count(entry.size, "face")}`;
    const tiles = h("ul", { class: "tiles", "aria-label": "Faces" });
    const why = h("p", { class: "small why" });
    const given = nameField("Who is this?", { placeholder: "Name", "aria-label": `Who is this? Group of ${count(entry.size, "face")}` });
    const row = { entry, node: null, focus, press };
    let choosing = false; // a name, which is not decided yet
    const offered = namesOf(entry.size, async (name) => {
      if (choosing) return;
      choosing = true;
      await done(row, meant({ do: "confirm", name }));
      choosing = false;
    });
    row.offer = offered.offer;

    const meant = (json) => (suggesting ? { ...json, faces: entry.ids.filter((one) => !left.has(one)) } : { ...json, groups: [entry.id], left_out: [...left] });
    const mark_ = (what) => () => done(row, meant({ do: what }));
    const button = (label, key, work, kind = "") => {
      const made = h("button", { type: "button", class: kind, "aria-keyshortcuts": key }, label, h("kbd", {}, key));
      made.addEventListener("click", () => busy(made, work, problem));
      return made;
    };
    const confirm = () => {
      const name = suggesting ? entry.name : given.input.value.trim();
      if (!name) return given.input.focus();
      return done(row, meant({ do: "confirm", name }));
    };
    const reject = () => done(row, meant({ do: "reject", name: entry.name }));
    const merge = () => {
      if (marked === row) mark(null);
      else if (marked) return done(row, { do: "merge", groups: [marked.entry.id, entry.id] });
      else mark(row);
      say(marked ? "Marked. Press M on another row: they are one person." : "No longer marked.");
    };
    const split = async () => {
      if (left.size === 0) return say("Leave faces out first, by X.");
      return done(row, { do: "split", faces: [...left] });
    };
    const open = () => faces[at] && photoDialog(faces[at], () => tiles.children[at]?.querySelector("button").focus());
    const works = suggesting
      ? { y: confirm, Enter: confirm, n: reject, i: mark_("ignore"), o: mark_("not-a-face"), p: open }
      : { n: () => given.input.focus(), Enter: () => given.input.focus(), i: mark_("ignore"), o: mark_("not-a-face"), m: merge, s: split, p: open };

    function press(key, focused) {
      if (focused?.closest(".enroll, .decisions, .names, .all") && (key === "Enter" || key === " ")) return false; // a button's own
      if (key === "ArrowRight" || key === "ArrowLeft") choose(at + (key === "ArrowRight" ? 1 : -1));
      else if (key === "x" || key === " ") toggle(at);
      else if (/^[1-9]$/.test(key)) offered.press(key);
      else if (works[key]) works[key]();
      else return false;
      return true;
    }

    function focus() {
      (tiles.children[at] ?? tiles.children[0])?.querySelector("button").focus({ preventScroll: true });
      row.node.scrollIntoView({ block: "nearest" });
    }

    function choose(number) {
      at = Math.max(0, Math.min(number, faces.length - 1));
      focus();
    }

    function toggle(number) {
      const face = faces[number];
      if (!left.delete(face.face)) left.add(face.face);
      const tile = tiles.children[number].querySelector("button");
      tile.setAttribute("aria-pressed", String(!left.has(face.face)));
      tile.querySelector(".state").textContent = left.has(face.face) ? "Left out" : "";
      say(left.has(face.face) ? "Left out." : "Taken in again.");
      counted();
    }

    const name = h("button", { type: "submit", class: "main" }, "Name them");
    function counted() {
      const rest = count(entry.size - left.size, "face");
      name.textContent = `Name ${rest}`;
      if (splitting) splitting.hidden = left.size === 0;
    }

    function tile(face, number) {
      const reason = face.suggestion;
      const label = [`Face ${number + 1} of ${entry.size}`, face.photo, face.date.slice(0, 10), reason && `distance ${near(reason.distance)}, at most ${near(reason.threshold)}`, face.poor && `poor: ${face.poor}`].filter(Boolean).join(", ");
      const made = h(
        "button",
        { type: "button", class: "tile", tabindex: number ? "-1" : "0", "aria-pressed": String(!left.has(face.face)), "aria-label": label, title: label },
        crop(face.crop, ""),
        h("span", { class: "small far", "aria-hidden": "true" }, reason ? near(reason.distance) : face.poor ? "poor" : ""),
        h("span", { class: "state", "aria-hidden": "true" }, left.has(face.face) ? "Left out" : ""),
      );
      made.addEventListener("click", () => toggle(number));
      made.addEventListener("focus", () => {
        at = number;
        for (const [other, one] of [...tiles.children].entries()) one.querySelector("button").tabIndex = other === number ? 0 : -1;
        index = all().indexOf(row);
        for (const other of all()) other.node.classList.toggle("current", other === row);
        fill(why, reasons(face));
      });
      return h("li", {}, made);
    }

    async function showAll() {
      const found = suggesting ? (await get(`${root}/suggestions?name=${encodeURIComponent(entry.name)}&faces=1000`)).people[0] : await get(`${root}/groups/${entry.id}?limit=1000`);
      faces = found.faces;
      fill(tiles, faces.map(tile));
      all_.hidden = true;
      choose(FACES);
    }
    const all_ = action(`Show all ${entry.size}`, showAll, { kind: "quiet all", place: problem });
    all_.hidden = entry.size <= faces.length;

    const splitting = suggesting ? null : button("Split off", "S", split);
    const buttons = [
      suggesting && button("Yes", "Y", confirm, "main"),
      suggesting && button("Not this person", "N", reject),
      button("Ignore", "I", mark_("ignore")),
      button("Not faces", "O", mark_("not-a-face")),
      !suggesting && button("Merge", "M", merge),
      splitting,
      button("Photo", "P", async () => open()),
    ];
    const form = h("form", { class: "enroll", onsubmit: (event) => (event.preventDefault(), busy(name, confirm, problem)) }, h("div", { class: "row" }, given.input, given.list, name));
    given.input.addEventListener("keydown", (event) => event.key === "Escape" && focus());
    fill(tiles, faces.map(tile));
    counted();
    row.node = h(
      "li",
      { class: "card group", "aria-labelledby": heading },
      h("div", { class: "row between" }, h("h2", { id: heading }, title, suggesting && h("span", { class: "small" }, ` ${count(entry.size, "face")}`)), all_),
      tiles,
      why,
      offered.node,
      !suggesting && form,
      h("div", { class: "row decisions" }, buttons),
    );
    return row;
  }

  /** Take a key; says whether it was of use. */
  function press(key, focused) {
    if (all().length === 0) return false;
    if (key === "j" || key === "ArrowDown") select(list.contains(focused) ? index + 1 : index);
    else if (key === "k" || key === "ArrowUp") select(index - 1);
    else if (list.contains(focused)) return rowOf(focused)?.press(key, focused) ?? false;
    else if (/^[1-9]$/.test(key)) say("Go to a group first, by J.");
    else return false;
    return true;
  }

  return { node, begin: () => load(false), load, press };
}

function reasons(face) {
  const why = face.suggestion;
  const about = [`${face.photo}, ${face.date.slice(0, 10)}`, face.poor && `poor: ${face.poor}`, face.refused.length > 0 && `not ${face.refused.join(", ")}`].filter(Boolean).join("; ");
  if (!why) return about;
  const second = why.second === null ? "no one else is near" : `the next person at ${near(why.second)}`;
  return [
    h("span", { class: "pair" }, crop(why.nearest?.crop ?? "", "")),
    h("span", {}, `${about}. Distance ${near(why.distance)} to ${why.nearest?.photo ?? "an enrolled photo"} (beside), at most ${near(why.threshold)}; ${second}.`),
  ];
}

function empty(suggesting, found) {
  if (suggesting) return h("p", { class: "card hint" }, "No suggestions: of the faces that wait, none is near enough to someone enrolled. Name some groups first.");
  const alone = found.alone > 0 ? ` ${count(found.alone, "face")} in no group.` : "";
  return h("p", { class: "card hint" }, `No group waits for a name.${alone} `, h("a", { href: "#/library/suggestions" }, "Look at the suggestions."));
}
