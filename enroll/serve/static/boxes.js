// Frames around faces, over a picture or a video.

import { fill, h, named, near } from "./dom.js";

/** Say who a face is, in few words. */
export const who = (face) => face.identity ?? "Unknown";

/** Draw frames. Each is a button if `chosen` is given, else it is only to be seen. */
export function draw(overlay, faces, width, height, chosen = null) {
  const frames = faces.map((face, number) => {
    if (!face.box) return null;
    const [x, y, wide, high] = face.box;
    const text = face.distance === null ? [named(who(face))] : [named(who(face)), h("span", { class: "far" }, near(face.distance))];
    // The name keeps within the picture: beside the frame where there is room, else in it.
    const right = x + wide > width - x;
    const filled = y < 0.1 * height && y + high > 0.9 * height;
    const tag = h("span", { class: "tag" }, text);
    tag.style.maxWidth = `min(14rem, ${filled ? 100 : (100 * (right ? x + wide : width - x)) / wide}%)`;
    const frame = h(
      chosen ? "button" : "div",
      {
        class: `frame ${face.identity === null ? "unknown" : "known"}`,
        type: chosen ? "button" : null,
        "aria-label": chosen ? `Face ${number + 1}: ${who(face)}. Show details.` : null,
        onclick: chosen ? () => chosen(number) : null,
      },
      tag,
    );
    // By the object model, which the content policy allows; an attribute `style` it does not.
    frame.style.left = `${(100 * x) / width}%`;
    frame.style.top = `${(100 * y) / height}%`;
    frame.style.width = `${(100 * wide) / width}%`;
    frame.style.height = `${(100 * high) / height}%`;
    if (y + high > 0.9 * height) frame.classList.add(filled ? "inside" : "low");
    if (right) frame.classList.add("right");
    return frame;
  });
  fill(overlay, frames);
  return frames;
}
