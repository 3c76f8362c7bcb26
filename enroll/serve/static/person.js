// One person: photos, name, terms; and joining or erasing them.

import { call, get, personPath } from "./api.js";
import { face } from "./crops.js";
import { ask, field } from "./dialogs.js";
import { action, count, fill, h, loading, named, problemBox, say } from "./dom.js";
import { nameField } from "./names.js";
import { addPhotos, outcome, personLink } from "./people.js";

/** Make the view of a person. */
export function personView(name) {
  const path = personPath(name);
  const body = h("div", {}, loading());
  const problem = h("div");
  const result = h("div");
  const heading = h("h1", { tabindex: "-1" }, named(name));
  const files = h("input", { type: "file", id: "more", class: "hidden-text", accept: "image/*", multiple: true });
  files.addEventListener("change", async () => {
    const pictures = [...files.files];
    files.value = "";
    fill(result, loading(`Enrolling ${count(pictures.length, "picture")}…`));
    try {
      const sum = await addPhotos(name, pictures);
      fill(result, outcome(`${count(sum.added, "photo")} enrolled, ${sum.already} there before.`, sum.rejected, sum.notes));
      await load();
    } catch (error) {
      fill(result, problemBox(error));
    }
  });

  async function load() {
    try {
      const person = await get(path);
      actions.hidden = false;
      fill(
        body,
        h("p", { class: "lead" }, count(person.photos, "photo"), person.expired && ". Their last day is over: they are not named any more."),
        h("p", {}, h("a", { href: `#/library/person/${encodeURIComponent(name)}` }, "Photos of the library by date")),
        h("ul", { class: "grid photos", "aria-label": "Photos" }, person.pictures.map(photo)),
        terms(person),
      );
    } catch (error) {
      actions.hidden = error.facts?.status === 404;
      fill(body, problemBox(error, action("Try again", load)));
    }
  }

  function photo(one, number) {
    const label = `Photo ${number + 1}`;
    return h(
      "li",
      { class: "card photo" },
      face(one.crop, label),
      action("Remove", () => removePhoto(one, label), { kind: "quiet", place: problem, name: `Remove ${label.toLowerCase()}` }),
    );
  }

  async function removePhoto(one, label) {
    const only = body.querySelectorAll(".photo").length === 1;
    const done = await ask({
      title: `Remove ${label.toLowerCase()}?`,
      content: h("p", {}, "The photo is erased and cannot be brought back. ", only && [named(name), " has no other one, and goes with it."]),
      label: "Remove",
      danger: true,
      work: () => call("DELETE", one.crop.replace(/\/crop$/, "")),
    });
    if (!done) return;
    say("The photo is removed.");
    if (only) location.hash = "#/people";
    else {
      await load();
      heading.focus();
    }
  }

  function rename() {
    return ask({
      title: "Rename",
      content: field("New name", { name: "name", value: name, required: true, maxlength: 200 }),
      label: "Rename",
      async work(form) {
        const renamed = await call("POST", `${path}/rename`, { json: { name: form.get("name").trim() } });
        say(`Renamed to ${renamed.name}.`);
        location.replace(personLink(renamed.name));
      },
    });
  }

  function merge() {
    const other = nameField("The other name");
    return ask({
      title: "Merge with another person",
      content: [
        h("p", {}, "All photos of the other become photos of ", named(name), "; the other name goes."),
        h("div", { class: "field" }, other.label, other.input, other.list),
      ],
      label: "Merge",
      async work(form) {
        const merged = await call("POST", `${path}/merge`, { json: { other: form.get("name").trim() } });
        say(`${count(merged.moved, "photo")} moved to ${merged.name}.`);
        await load();
      },
    });
  }

  function remove() {
    return ask({
      title: "Remove this person?",
      content: h("p", {}, named(name), " and all their photos are erased and cannot be brought back."),
      label: "Remove",
      danger: true,
      async work() {
        await call("DELETE", path);
        say(`${name} is removed.`);
        location.hash = "#/people";
      },
    });
  }

  function terms(person) {
    const { consent, consent_date: given, expires } = person.terms;
    const change = () =>
      ask({
        title: "Consent",
        content: [
          field("Where it is kept", { name: "consent", value: consent ?? "" }),
          field("Given on", { name: "consent_date", type: "date", value: given ?? "" }),
          field("Named until", { name: "expires", type: "date", value: expires ?? "" }, "After this day they are not named any more."),
        ],
        label: "Save",
        async work(form) {
          const json = Object.fromEntries([...form].map(([key, value]) => [key, value || null]));
          await call("PUT", `${path}/terms`, { json });
          say("Saved.");
          await load();
        },
      });
    const facts = [consent && `kept in ${consent}`, given && `given on ${given}`, expires && `named until ${expires}`].filter(Boolean);
    return h(
      "section",
      { class: "card" },
      h("h2", {}, "Consent"),
      h("p", {}, facts.length > 0 ? facts.join(", ") : "Nothing is noted."),
      action("Change", change, { place: problem, name: "Change consent" }),
    );
  }

  const actions = h(
    "div",
    { class: "row" },
    files,
    h("label", { for: "more", class: "button main" }, "Add photos"),
    action("Rename", rename, { place: problem }),
    action("Merge", merge, { place: problem }),
    action("Remove", remove, { place: problem, kind: "danger", name: "Remove this person" }),
  );
  const node = h(
    "div",
    {},
    h("p", {}, h("a", { href: "#/people" }, "← All people")),
    heading,
    actions,
    problem,
    result,
    body,
  );
  return { node, title: name, enter: load, leave() {} };
}
