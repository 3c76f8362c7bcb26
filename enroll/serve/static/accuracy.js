// What the threshold promises, as a sentence and a picture; finding it again, and measuring.

import { get } from "./api.js";
import { hundred, ruler, table, tradeOff } from "./charts.js";
import { field } from "./dialogs.js";
import { action, busy, fill, h, here, loading, near, people, percent, problemBox, say } from "./dom.js";
import { work } from "./progress.js";

const INTERVAL = "95 %";

/** Make the view. */
export function accuracyView() {
  const now = h("div", {}, loading());
  const place = h("div");
  const measured = h("div");
  const share = field("Strangers who may get a name, in percent", { type: "number", name: "share", value: "1", min: "0.01", max: "50", step: "0.01", inputmode: "decimal", required: true });
  const calibrate = h("button", { type: "submit", class: "main" }, "Calibrate");
  const form = h("form", { class: "row bottom" }, share, calibrate);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(calibrate, async () => {
      try {
        const fpir = Number(share.querySelector("input").value) / 100;
        const found = await work(place, "/api/v1/calibration", { fpir }, "Calibrating");
        fill(place, found.set_aside.length > 0 && aside(found.set_aside));
        say("Calibrated.");
        await load();
      } catch (error) {
        fill(place, problemBox(error));
      }
    });
  });

  async function load() {
    try {
      const [basis, gallery] = await Promise.all([get("/api/v1/calibration"), get("/api/v1/gallery")]);
      fill(now, gallery.people === 0 ? nobody() : promise(basis));
      form.hidden = gallery.people === 0;
      measure.parentElement.hidden = gallery.people < 2;
    } catch (error) {
      fill(now, problemBox(error, action("Try again", load)));
    }
  }

  const measure = action("Measure", async () => {
    const found = await work(measured, "/api/v1/evaluation", {}, "Measuring");
    fill(measured, evaluation(found));
    say("Measured.");
  }, { place: measured });

  async function enter() {
    await load();
    try {
      fill(measured, evaluation((await get("/api/v1/evaluation")).result));
    } catch {
      fill(measured); // there is none yet
    }
  }

  const node = h(
    "div",
    {},
    h("h1", { tabindex: "-1" }, "Accuracy"),
    now,
    h("section", { class: "card" }, h("h2", {}, "Calibrate"), h("p", {}, "Finds the threshold for this gallery. Do it again when many people came or went."), form, place),
    h("section", { class: "card" }, h("h2", {}, "Measure"), h("p", {}, "Hides some people, asks for them as strangers, and for the others by one of their photos."), measure, measured),
  );
  return { node, title: "Accuracy", enter, leave() {} };
}

function nobody() {
  return h("div", { class: "card hint" }, h("h2", {}, "No one is enrolled yet"), h("p", {}, "How sure an answer is depends on who is enrolled. ", h("a", { href: "#/people" }, "Add people"), " first."));
}

function promise(basis) {
  const target = basis.facts.target_fpir;
  return h(
    "section",
    { class: "card promise" },
    h(
      "p",
      { class: "sentence" },
      target === null
        ? here(basis.sentence)
        : `Of 100 strangers at most ${Number((100 * target).toPrecision(3))} ${100 * target === 1 ? "gets" : "get"} a name; that is ${percent(basis.facts.confidence)} sure.`,
    ),
    target !== null && hundred(target),
    ruler(basis.threshold),
    basis.warning && h("p", { class: "warning" }, here(basis.warning)),
    !basis.calibrated && h("p", { class: "warning" }, "Not calibrated yet: it rests on what is known of the network. Calibrating adds what this gallery's own photos say."),
    h("details", {}, h("summary", {}, "What it rests on"), h("p", {}, here(basis.sentence))),
  );
}

function aside(lines) {
  return h("details", { class: "card" }, h("summary", {}, `${lines.length} not counted, since their names are probably wrong`), h("ul", {}, lines.map((text) => h("li", {}, here(text)))));
}

function evaluation(found) {
  const { counts, figures, curve } = found;
  const known = Object.entries(figures).filter(([, figure]) => figure.value !== null);
  const missing = Object.entries(figures).filter(([, figure]) => figure.value === null);
  return [
    h("p", {}, `${people(counts.people)}, ${counts.photos} photos. TPIR is the share of known people who are named, FPIR the share of strangers who are.`),
    curve.fpir.length > 0 && [h("p", { class: "small" }, "Known people named (upwards)"), tradeOff(curve)],
    table(["Figure", "Value", `${INTERVAL} interval`], known.map(([name, figure]) => [name, near(figure.value), `${near(figure.low)} to ${near(figure.high)}`])),
    missing.length > 0 &&
      h("details", {}, h("summary", {}, `${missing.length} that this gallery is too small for`), h("ul", {}, missing.map(([name, figure]) => h("li", {}, `${name}: needs ${figure.needed}`)))),
  ];
}
