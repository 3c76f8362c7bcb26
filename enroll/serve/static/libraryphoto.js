// A face in its photo, over the page.

import { send } from "./api.js";
import { draw } from "./boxes.js";
import { fill, h, loading, newId, problemBox } from "./dom.js";

/** Show the photo of a face; `closed` is called at the end. */
export async function photoDialog(face, closed = () => {}) {
  const heading = newId("photo");
  const place = h("div", {}, loading());
  const close = h("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const facts = [face.date?.slice(0, 10), face.name && `confirmed as ${face.name}`, face.poor && `poor: ${face.poor}`].filter(Boolean).join(", ");
  const dialog = h(
    "dialog",
    { class: "photo-dialog", "aria-labelledby": heading },
    h("div", { class: "row between" }, h("h2", { id: heading, class: "name" }, face.photo), close),
    h("p", { class: "small" }, facts),
    place,
  );
  let address = null;
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (address) URL.revokeObjectURL(address);
    closed();
  });
  document.body.append(dialog);
  dialog.showModal();
  close.focus();
  try {
    const response = await send("GET", face.whole, { accept: "image/jpeg", cache: "default" });
    address = URL.createObjectURL(await response.blob());
    const image = h("img", { src: address, alt: `The photo; the frame is around ${face.name ?? "the face"}` });
    await image.decode();
    const overlay = h("div", { class: "overlay" });
    draw(overlay, [{ box: face.box, identity: face.name ?? face.suggestion?.name ?? null, distance: null }], face.size[0], face.size[1]);
    fill(place, h("div", { class: "picture" }, image, overlay));
  } catch (error) {
    fill(place, problemBox(error));
  }
}
