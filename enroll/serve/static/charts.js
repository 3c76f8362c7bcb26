// Pictures of numbers. Each has its numbers as text or as a table, too.

import { h, near, people, percent, svg } from "./dom.js";

const WIDE = 640;
const HIGH = 300;
const NARROW = 360; // on a phone, so that the letters stay as large as the text around them
const LOW = 240;
const LEFT = 56;
const BOTTOM = 48;
const TOP = 12;
const RIGHT = 30;

const wide = () => (window.innerWidth < WIDE ? NARROW : WIDE);
const high = () => (window.innerWidth < WIDE ? LOW : HIGH);

/** A hundred strangers, as many marked as get a name at most. */
export function hundred(share) {
  const marked = Math.min(100, Math.max(share > 0 ? 1 : 0, Math.round(100 * share)));
  const dots = Array.from({ length: 100 }, (_, number) =>
    svg("circle", { class: number < marked ? "dot named" : "dot", cx: 10 + 20 * (number % 20), cy: 10 + 20 * Math.floor(number / 20), r: number < marked ? 8 : 6 }),
  );
  return svg(
    "svg",
    { class: "hundred", viewBox: "0 0 400 100", role: "img", "aria-label": `Of 100 strangers at most ${marked} would get a name.` },
    dots,
  );
}

/** Distances from the same face to any face, with the threshold between a name and unknown. */
export function ruler(threshold) {
  const at = (value) => 20 + ((wide() - 40) * value) / 2;
  const ticks = [0, 0.5, 1, 1.5, 2];
  return svg(
    "svg",
    { class: "ruler", viewBox: `0 0 ${wide()} 112`, role: "img", "aria-label": `Faces nearer than ${near(threshold)} get a name, others are unknown; distances go from 0 to 2.` },
    svg("rect", { class: "within", x: at(0), y: 40, width: at(threshold) - at(0), height: 24 }),
    svg("rect", { class: "far", x: at(threshold), y: 40, width: at(2) - at(threshold), height: 24 }),
    svg("line", { class: "threshold", x1: at(threshold), x2: at(threshold), y1: 30, y2: 72 }),
    svg("text", { x: at(threshold), y: 20, "text-anchor": "middle", class: "strong" }, `threshold ${near(threshold)}`),
    svg("text", { x: at(threshold / 2), y: 57, "text-anchor": "middle" }, "a name"),
    svg("text", { x: at((threshold + 2) / 2), y: 57, "text-anchor": "middle" }, "unknown"),
    ticks.map((value) => svg("text", { x: at(value), y: 88, "text-anchor": "middle", class: "tick" }, String(value))),
    svg("text", { x: wide() / 2, y: 106, "text-anchor": "middle", class: "tick" }, "distance to the nearest enrolled photo"),
  );
}

/** How many strangers get a name as the gallery grows: a line, and a table. */
export function growth(pairs) {
  const sizes = pairs.map(([size]) => Math.log(size));
  const x = (size) => LEFT + ((wide() - LEFT - RIGHT) * (Math.log(size) - sizes[0])) / (sizes.at(-1) - sizes[0] || 1);
  const most = Math.max(...pairs.map(([, share]) => share), 0.01);
  const y = (share) => TOP + (high() - TOP - BOTTOM) * (1 - share / most);
  const plot = frame(
    [0, most / 2, most].map((share) => [y(share), percent(share)]),
    pairs.map(([size]) => [x(size), String(size)]),
    "people in the gallery",
    [line(pairs.map(([size, share]) => [x(size), y(share)])), pairs.map(([size, share]) => svg("circle", { class: "point", cx: x(size), cy: y(share), r: 4 }))],
  );
  return [plot, table(["People", "Strangers named, at most"], pairs.map(([size, share]) => [people(size), percent(share)]))];
}

/** How many known people are named, over how many strangers are: a line. */
export function tradeOff({ fpir, fnir }) {
  const x = (share) => LEFT + (wide() - LEFT - RIGHT) * share;
  const y = (share) => TOP + (high() - TOP - BOTTOM) * (1 - share);
  const points = fpir.map((share, number) => [x(share), y(1 - fnir[number])]);
  const half = [0, 0.5, 1];
  return frame(half.map((share) => [y(share), percent(share)]), half.map((share) => [x(share), percent(share)]), "strangers named", line(points), "Known people named, over strangers named");
}

function frame(rows, columns, below, drawn, label = null) {
  return svg(
    "svg",
    { class: "plot", viewBox: `0 0 ${wide()} ${high()}`, ...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" }) },
    rows.map(([at, text]) => [
      svg("line", { class: "grid-line", x1: LEFT, x2: wide() - RIGHT, y1: at, y2: at }),
      svg("text", { class: "tick", x: LEFT - 6, y: at + 5, "text-anchor": "end" }, text),
    ]),
    columns.map(([at, text]) => svg("text", { class: "tick", x: at, y: high() - BOTTOM + 21, "text-anchor": "middle" }, text)),
    svg("text", { class: "tick", x: (LEFT + wide() - RIGHT) / 2, y: high() - 6, "text-anchor": "middle" }, below),
    drawn,
  );
}

const line = (points) => svg("polyline", { class: "line", points: points.map((point) => point.join(",")).join(" ") });

/** A table of text. */
export function table(head, rows, caption = null) {
  return h(
    "table",
    {},
    caption && h("caption", {}, caption),
    h("thead", {}, h("tr", {}, head.map((text, number) => h("th", { scope: "col", class: number ? "number" : null }, text)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((text, number) => h(number ? "td" : "th", number ? { class: "number" } : { scope: "row" }, text))))),
  );
}
