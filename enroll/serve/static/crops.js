// Faces of enrolled photos. They are fetched rather than linked, since an <img> sends no key.

import { send } from "./api.js";
import { h } from "./dom.js";

const MOST = 3; // at a time: each takes the server a detection
const waiting = [];
let running = 0;

const seen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      waiting.push(target);
      next();
    }
  },
  { rootMargin: "200px" },
);

const work = new WeakMap();

async function next() {
  if (running >= MOST || waiting.length === 0) return;
  running += 1;
  const holder = waiting.shift();
  try {
    if (holder.isConnected) await work.get(holder)();
  } finally {
    running -= 1;
    next();
  }
}

/**
 * Show a face, fetched when it comes into view.
 * @param {string|function} crop its address, or what finds it
 * @param {string} description for who cannot see it, "" if the text beside it says it
 * @param {function} [gone] called if it is not there any more
 */
export function face(crop, description, gone = () => {}) {
  const holder = h("span", { class: "crop" });
  if (description) {
    holder.setAttribute("role", "img");
    holder.setAttribute("aria-label", description);
  }
  work.set(holder, async () => {
    try {
      const address = typeof crop === "function" ? await crop() : crop;
      if (!address) throw new Error("no photo");
      const response = await send("GET", address, { accept: "image/*", cache: "default" });
      const url = URL.createObjectURL(await response.blob());
      const shown = h("img", { src: url, alt: "" });
      shown.addEventListener("load", () => URL.revokeObjectURL(url));
      holder.replaceChildren(shown);
    } catch (error) {
      holder.classList.add("gone");
      if (error.facts?.status === 404) gone(error);
    }
  });
  seen.observe(holder);
  return holder;
}
