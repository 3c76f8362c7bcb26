// Everyone who is enrolled; pictures of one more, or a folder of many.

import { call, enroll, follow, get, personPath } from "./api.js";
import { face } from "./crops.js";
import { ask, field } from "./dialogs.js";
import { action, count, fill, h, loading, named, people, problemBox, say } from "./dom.js";
import { nameField } from "./names.js";

const PAGE = 60; // people shown at a time
const MOST_FILES = 32; // of a request; a server takes 64
const MOST_BYTES = 16 * 2 ** 20; // of a request; a server takes 32 MiB

export const personLink = (name) => `#/people/${encodeURIComponent(name)}`;

/** Make the view of everyone. */
export function peopleView() {
  const list = h("div");
  const total = h("p", { class: "lead" });
  const problem = h("div");
  const search = h("input", { type: "search", id: "search", autocomplete: "off", spellcheck: "false", placeholder: "Search" });
  let asked = 0;

  async function load(offset = 0) {
    const mine = ++asked;
    if (!offset) fill(list, loading());
    try {
      const found = await get(`/api/v1/people?limit=${PAGE}&offset=${offset}&search=${encodeURIComponent(search.value)}`);
      if (mine !== asked) return;
      fill(total, `${people(found.total)}${search.value ? " of that name" : " enrolled"}`);
      const cards = found.people.map(card);
      if (offset) {
        list.querySelector("ul").append(...cards);
        list.querySelector(".more")?.remove();
        cards[0]?.querySelector("a").focus();
      } else {
        fill(list, found.total ? h("ul", { class: "grid" }, cards) : nobody(search.value));
      }
      if (offset + found.people.length < found.total) {
        list.append(h("p", { class: "more" }, action("Show more", () => load(offset + PAGE))));
      }
    } catch (error) {
      if (mine === asked) fill(list, problemBox(error, action("Try again", () => load())));
    }
  }

  let typing = 0;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(load, 200);
  });
  const folder = h("input", { type: "file", id: "folder", class: "hidden-text", webkitdirectory: true, multiple: true });
  const running = h("div");
  folder.addEventListener("change", async () => {
    const files = [...folder.files];
    folder.value = "";
    try {
      await enrollFolder(files, running);
    } catch (error) {
      fill(running, problemBox(error));
    }
    await load();
  });
  const node = h(
    "div",
    {},
    h("h1", { tabindex: "-1" }, "People"),
    total,
    h(
      "div",
      { class: "row" },
      h("button", { type: "button", class: "main", onclick: () => addPerson() }, "Add a person"),
      folder,
      h("label", { for: "folder", class: "button" }, "Add a folder of people"),
      h("span", { class: "search" }, h("label", { for: "search", class: "hidden-text" }, "Search people"), search),
    ),
    problem,
    running,
    list,
  );
  return { node, title: "People", enter: () => load(), leave() {} };
}

function card(person) {
  const first = async () => (await get(`${personPath(person.name)}/photos`)).photos[0]?.crop;
  return h(
    "li",
    {},
    h(
      "a",
      { class: "card person", href: personLink(person.name) },
      face(first, ""),
      h("span", {}, named(person.name), h("span", { class: "small" }, count(person.photos, "photo"), person.expired && ", expired")),
    ),
  );
}

function nobody(searched) {
  if (searched) return h("p", { class: "card hint" }, "No one of that name. Try a part of it.");
  return h(
    "div",
    { class: "card hint" },
    h("h2", {}, "No one is enrolled yet"),
    h("p", {}, "Add a person with three to five pictures of different days, or a folder that has a folder of pictures for each person, called by their name."),
  );
}

function addPerson() {
  const { input, label, list } = nameField("Name");
  return ask({
    title: "Add a person",
    content: [
      h("div", { class: "field" }, label, input, list),
      field("Pictures", { name: "photos", type: "file", accept: "image/*", multiple: true, required: true }, "One face each, else the largest, most central one is taken."),
    ],
    label: "Enroll",
    async work(form) {
      await addPhotos(form.get("name").trim(), form.getAll("photos"));
      location.hash = personLink(form.get("name").trim());
    },
  });
}

/** Enroll pictures of one person, some at a time; says what came of it. */
export async function addPhotos(name, pictures) {
  const sum = { added: 0, already: 0, rejected: [], notes: [] };
  let problem = null;
  for (const some of parts(pictures)) {
    try {
      const done = await enroll(name, some);
      sum.added += done.added;
      sum.already += done.already;
      sum.rejected.push(...done.rejected);
      sum.notes.push(...done.notes);
    } catch (error) {
      if (error.facts?.status !== 422) throw error;
      problem = error;
      sum.rejected.push(...(error.facts.errors ?? []));
    }
  }
  if (problem && !sum.added && !sum.already) throw problem;
  say(`${count(sum.added, "photo")} of ${name} enrolled.`);
  return sum;
}

/** Divide files so that a server takes each part. */
function parts(files) {
  const made = [[]];
  let bytes = 0;
  for (const file of files) {
    if (made.at(-1).length > 0 && (made.at(-1).length >= MOST_FILES || bytes + file.size > MOST_BYTES)) {
      made.push([]);
      bytes = 0;
    }
    made.at(-1).push(file);
    bytes += file.size;
  }
  return made;
}

async function enrollFolder(files, place) {
  const pictures = files.filter((file) => file.type.startsWith("image/") || /\.(heic|heif|avif)$/i.test(file.name));
  if (pictures.length === 0) {
    throw { facts: { title: "There is no picture in that folder", detail: "expected a folder of people, each with a folder of pictures" } };
  }
  const bar = h("progress", { max: pictures.length, value: 0, "aria-label": "Enrolling" });
  const text = h("p", { class: "small" });
  fill(place, h("div", { class: "card" }, h("p", {}, `Enrolling ${count(pictures.length, "picture")}…`), bar, text));
  const sum = { added: 0, already: 0, rejected: [] };
  for (const some of parts(pictures)) {
    const form = new FormData();
    for (const file of some) form.append("photos", file, file.webkitRelativePath || file.name);
    const job = await call("POST", "/api/v1/jobs/enroll", { form });
    const begun = bar.value;
    const result = await follow(job, (now) => (bar.value = begun + Math.min(now.done, some.length)));
    bar.value = begun + some.length;
    sum.added += result.added;
    for (const one of result.people) {
      sum.already += one.already;
      sum.rejected.push(...one.rejected);
    }
    fill(text, `${sum.added} enrolled`);
  }
  const said = `${count(sum.added, "photo")} enrolled, ${sum.already} there before, ${sum.rejected.length} not used.`;
  fill(place, outcome(said, sum.rejected));
  say(said);
}

/** What enrolling came to, with what was not used and why. */
export function outcome(said, rejected, notes = []) {
  return h(
    "div",
    { class: "card" },
    h("p", { class: "done" }, said),
    notes.map((note) => h("p", { class: "small" }, note)),
    rejected.length > 0 &&
      h("details", { open: rejected.length < 6 }, h("summary", {}, `${count(rejected.length, "picture")} not used`), h("ul", {}, rejected.map((one) => h("li", {}, `${one.photo}: ${one.reason}`)))),
  );
}

