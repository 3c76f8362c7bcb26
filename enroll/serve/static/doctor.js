// What is probably wrong with the gallery, each with the button that fixes it.

import { call, get } from "./api.js";
import { growth } from "./charts.js";
import { face } from "./crops.js";
import { action, busy, count, fill, h, here, loading, named, near, people, problemBox, say, sure } from "./dom.js";
import { personLink } from "./people.js";
import { work } from "./progress.js";

/** Make the view. */
export function doctorView() {
  const place = h("div");
  const body = h("div", {}, loading());
  const deep = h("input", { type: "checkbox", id: "deep" });
  const examine = h("button", { type: "button", class: "main" }, "Examine the gallery");
  examine.addEventListener("click", () =>
    busy(examine, async () => {
      try {
        const found = await work(place, "/api/v1/doctor", { photos: deep.checked }, "Examining");
        show(found, new Date().toISOString());
        say(summary(found));
      } catch (error) {
        fill(place, problemBox(error));
      }
    }),
  );

  function show(found, ended) {
    fill(
      body,
      h("p", { class: "lead" }, summary(found)),
      h("p", { class: "small" }, `Examined ${new Date(ended).toLocaleString()}: ${people(found.people)}, ${count(found.photos, "photo")}.`),
      sections(found),
      found.growth && grown(found.growth),
      found.notes.map((note) => h("p", { class: "small" }, here(note))),
    );
  }

  async function enter() {
    try {
      const job = await get("/api/v1/doctor");
      show(job.result, job.ended);
    } catch (error) {
      if (error.kind === "not-found") {
        fill(body, h("div", { class: "card hint" }, h("h2", {}, "Not examined yet"), h("p", {}, "The doctor looks for photos under a wrong name, for one person under two names, and for people who are easily confused. It changes nothing by itself.")));
      } else fill(body, problemBox(error, action("Try again", enter)));
    }
  }

  const node = h(
    "div",
    {},
    h("h1", { tabindex: "-1" }, "Doctor"),
    h("div", { class: "row" }, examine, h("span", { class: "check" }, deep, h("label", { for: "deep" }, "Look at the pictures, too (slower)"))),
    place,
    body,
  );
  return { node, title: "Doctor", enter, leave() {} };
}

const LISTED = ["wrong_photos", "same_person", "divided_people", "confused", "poor_photos", "few_photos"];

function summary(found) {
  const wrong = LISTED.slice(0, 5).reduce((sum, key) => sum + (found[key]?.length ?? 0), 0);
  return wrong === 0 ? "Nothing seems wrong." : `${count(wrong, "thing")} to look at.`;
}

const person = (name) => h("a", { href: personLink(name) }, named(name));

function sections(found) {
  const kinds = {
    wrong_photos: ["Photos under a wrong name", (one) => [
      one.crop && face(one.crop, `The photo of ${one.person}`),
      h("p", {}, "Is under ", person(one.person), ", looks like ", one.like ? person(one.like) : "no one here", `, ${sure(one.probability)} sure.`),
    ], "Remove the photo"],
    same_person: ["Probably one person twice", (one) => h("p", {}, person(one.names[0]), " and ", person(one.names[1]), `, ${sure(one.probability)} sure. Merging keeps the name `, named(one.names[0]), "."), "Merge them"],
    divided_people: ["Photos that differ, without a majority", (one) => h("p", {}, person(one.person), ": probably photos of several people."), null, "Look at the photos"],
    confused: ["Easily confused", (one) => h("p", {}, person(one.names[0]), " and ", person(one.names[1]), `: the nearest two photos are ${near(one.distance)} apart.`), null, "Add photos"],
    poor_photos: ["Poor photos", (one) => [one.crop && face(one.crop, `The photo of ${one.person}`), h("p", {}, person(one.person), `: ${one.reason}.`)], "Remove the photo"],
    few_photos: ["Few photos", (one) => h("p", {}, person(one.person), `: ${count(one.photos, "photo")}.`), null, "Add photos"],
  };
  return LISTED.filter((key) => found[key]?.length > 0).map((key) => {
    const [title, text, fix, see] = kinds[key];
    return h(
      "section",
      {},
      h("h2", {}, `${title} (${found[key].length})`),
      h("ul", { class: "findings" }, found[key].map((one) => finding(one, text, fix, see))),
    );
  });
}

function finding(one, text, fix, see) {
  const result = h("div");
  const item = h("li", { class: "card finding" }, h("div", { class: "row what" }, text(one)));
  const whom = one.person ?? one.names.join(" and ");
  if (one.fix) {
    item.append(
      action(fix, async () => {
        let said = "Done.";
        try {
          await call(one.fix.method, one.fix.href, { json: one.fix.body ?? undefined });
        } catch (error) {
          if (error.facts?.status !== 404) throw error;
          said = "It was gone already."; // fixed elsewhere since the examination
        }
        fill(item, h("div", { class: "row what" }, text(one)), h("p", { class: "done", tabindex: "-1" }, said));
        item.querySelector(".done").focus();
        say(said);
      }, { kind: "main", place: result, name: `${fix}: ${whom}` }),
    );
  } else {
    item.append(h("a", { class: "button", href: personLink(one.person ?? one.names[0]), "aria-label": `${see ?? "Look"}: ${whom}` }, see ?? "Look"));
  }
  item.append(result);
  return item;
}

function grown(known) {
  const origin = known.calibrated ? "the gallery's own" : "about what a calibration would give";
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "When more people come"),
    h("p", {}, `Strangers who get a name, at most, at the threshold ${near(known.threshold)} (${origin}):`),
    growth(known.fpir),
    known.warning && h("p", { class: "warning" }, here(known.warning)),
  );
}
