// Who a group may be: names with a digit each, which chooses them.

import { count, fill, h, named, near, say } from "./dom.js";

export const MOST = 9; // names; there is a digit for each

/** The digit that a key stands for, null for none: on the row of digits whatever a layout puts there. */
export function digitOf(event) {
  if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return null;
  if (/^[1-9]$/.test(event.key)) return event.key;
  return event.code?.match(/^Digit([1-9])$/)?.[1] ?? null;
}

/** Make the list of names of a group of `size` faces; `choose` is called with a name. */
export function namesOf(size, choose) {
  const node = h("ul", { class: "names", "aria-label": "Who they may be" });
  let names = null; // until they are known

  /** Show names as the server gives them, the most likely first; null while they are looked up. */
  function offer(found) {
    names = found;
    fill(node, (found ?? []).slice(0, MOST).map((one, place) => h("li", {}, button(one, String(place + 1)))));
  }

  function button(one, digit) {
    const about = `${count(one.faces, "face")} of ${size}, the nearest at ${near(one.distance)} to ${one.nearest?.photo ?? "an enrolled photo"}, at most ${near(one.threshold)}`;
    return h(
      "button",
      { type: "button", "aria-keyshortcuts": digit, title: about, onclick: () => choose(one.name) },
      named(one.name),
      h("span", { class: "small" }, ` ${one.faces} of ${size}, ${near(one.distance)}`),
      h("kbd", {}, digit),
    );
  }

  function press(digit) {
    const one = names?.[digit - 1];
    if (one) choose(one.name);
    else say(names === null ? "The suggestions are still looked up." : `No suggestion ${digit}: there ${names.length === 1 ? "is" : "are"} ${names.length || "none"} for this group.`);
  }

  return { node, offer, press };
}
