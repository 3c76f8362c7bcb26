// What is known of one face: who, how near, why, and a form to say who it is.

import { enroll, get, personPath } from "./api.js";
import { who } from "./boxes.js";
import { face as crop } from "./crops.js";
import { busy, count, fill, h, named, near, problemBox, say, sure, svg } from "./dom.js";
import { nameField } from "./names.js";

const FARTHEST = 2; // between unit vectors
const AROUND = 0.25; // of a face's size, shown around it

/** Make a card; `enrolled` is called when the face was enrolled. */
export function faceCard(face, number, context) {
  const result = h("div");
  return h(
    "li",
    { class: "card face-card", tabindex: "-1", "data-face": number },
    h(
      "div",
      { class: "face-head" },
      cutOut(context.image, face.box),
      h(
        "div",
        {},
        h("h3", { class: face.identity === null ? "unknown" : "known" }, named(who(face))),
        h("p", { class: "small" }, inShort(face)),
      ),
    ),
    face.distance !== null && scale(face.distance, face.threshold),
    h(
      "details",
      {},
      h("summary", {}, "Why"),
      why(face),
    ),
    form(face, context, result),
    result,
  );
}

function inShort(face) {
  if (face.distance === null) return "No one is enrolled yet.";
  if (face.identity === null) return `Nearest at ${near(face.distance)}, threshold ${near(face.threshold)}`;
  const probable = face.confidence === null ? "" : `, ${sure(face.confidence)} sure`;
  return `Distance ${near(face.distance)}, threshold ${near(face.threshold)}${probable}`;
}

/** The distance on a line from same to different, with the threshold. The text beside it says the same. */
export function scale(distance, threshold) {
  const at = (value) => `${(100 * Math.min(value, FARTHEST)) / FARTHEST}%`;
  return svg(
    "svg",
    { class: "scale", "aria-hidden": "true", height: 14 },
    svg("rect", { class: "far", x: 0, y: 5, width: "100%", height: 4, rx: 2 }),
    svg("rect", { class: "within", x: 0, y: 5, width: at(threshold), height: 4, rx: 2 }),
    svg("line", { class: "threshold", x1: at(threshold), x2: at(threshold), y1: 1, y2: 13 }),
    svg("circle", { class: distance <= threshold ? "in" : "out", cx: at(distance), cy: 7, r: 5 }),
  );
}

function why(face) {
  if (face.distance === null) return [h("p", {}, "The gallery is empty: enroll someone first.")];
  const [first, second] = face.candidates;
  const nearest = [`The nearest enrolled photo is of `, named(first.identity), `, at ${near(face.distance)}`];
  const reasons = {
    match: [nearest, `, within the threshold of ${near(face.threshold)}.`],
    too_far: [nearest, `, beyond the threshold of ${near(face.threshold)}: too far to give a name.`],
    ambiguous: [nearest, ", but another person is nearly as near: too close to call."],
    taken: [nearest, ", but another face of the picture is nearer to ", named(first.identity), ", who is there once."],
  };
  return [
    h("p", {}, reasons[face.reason] ?? nearest),
    second && h("p", {}, "The next person, ", named(second.identity), `, is ${near(second.distance - first.distance)} farther.`),
    face.confidence !== null && h("p", {}, "That it is ", named(first.identity), ` is probable to ${sure(face.confidence)}.`),
    h(
      "table",
      {},
      h("caption", {}, "Nearest people"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Name"), h("th", { scope: "col", class: "number" }, "Distance"))),
      h(
        "tbody",
        {},
        face.candidates.map((one) => h("tr", {}, h("td", {}, named(one.identity)), h("td", { class: "number" }, near(one.distance)))),
      ),
    ),
    face.neighbours.length > 0 && [
      h("p", { class: "small" }, "Nearest enrolled photos"),
      h(
        "ul",
        { class: "faces" },
        face.neighbours.map((one) =>
          h("li", {}, crop(() => cropOf(one), ""), h("span", { class: "small" }, named(one.identity), ` ${near(one.distance)}`)),
        ),
      ),
    ],
    face.quality && h("p", { class: "small" }, quality(face.quality)),
  ];
}

/** Find the crop of a near photo, which an answer names by where it was enrolled from. */
async function cropOf(neighbour) {
  const { photos } = await get(`${personPath(neighbour.identity)}/photos`);
  return photos.find((photo) => photo.photo === neighbour.path)?.crop;
}

const quality = (known) =>
  `The face: ${Math.round(known.size)} pixels wide, sharpness ${known.sharpness.toFixed(2)}, ` +
  `brightness ${known.brightness.toFixed(2)}, turned aside ${Math.round(known.yaw)}°, ` +
  `tilted ${Math.round(known.roll)}°, ${Math.round(100 * known.visible)} % visible.`;

/** Cut a face out of the picture, as the browser shows it. */
function cutOut(image, box) {
  const canvas = h("canvas", { class: "crop", width: 112, height: 112, "aria-hidden": "true" });
  if (!image) return canvas;
  const [x, y, wide, high] = box ?? [0, 0, image.naturalWidth, image.naturalHeight];
  const side = Math.max(wide, high) * (box ? 1 + 2 * AROUND : 1);
  const left = x + wide / 2 - side / 2;
  const top = y + high / 2 - side / 2;
  canvas.getContext("2d").drawImage(image, left, top, side, side, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function form(face, { picture, enrolled }, result) {
  const { input, label, list } = nameField(face.identity === null ? "This is" : "Add this face to", {
    value: face.identity ?? "",
    placeholder: "Name",
  });
  const button = h("button", { type: "submit", class: face.identity === null ? "main" : "" }, "Enroll");
  const work = (force) => async () => {
    const done = await enroll(input.value.trim(), [picture], { box: face.box, force });
    const said = done.added ? `${done.name}: ${count(done.added, "photo")} enrolled.` : `${done.name} has this photo already.`;
    say(said);
    await enrolled([said, ...done.notes]);
  };
  const run = (force) =>
    busy(button, async () => {
      fill(result);
      try {
        await work(force)();
      } catch (error) {
        const anyway = h("button", { type: "button", onclick: () => run(true) }, "Enroll it all the same");
        const poor = error.kind === "unusable" && (error.facts.detail ?? "").includes("force=true");
        fill(result, problemBox(poor ? forPeople(error) : error, poor ? anyway : []));
      }
    });
  return h(
    "form",
    {
      class: "enroll",
      onsubmit: (event) => {
        event.preventDefault();
        run(false);
      },
    },
    label,
    h("div", { class: "row" }, input, list, button),
  );
}

/** Say of a face that is too poor what to do here, where there is a button for it. */
function forPeople(error) {
  const detail = error.facts.detail.replace("; force=true enrolls it all the same", "");
  return { facts: { ...error.facts, detail, errors: [], advice: "A better picture makes better answers." } };
}
