// Faces that were decided about, to take them back; and the photos of a person by date.

import { get } from "./api.js";
import { face as crop } from "./crops.js";
import { action, count, fill, h, loading, near, problemBox } from "./dom.js";
import { photoDialog } from "./libraryphoto.js";

const PAGE = 60;

const EMPTY = { ignored: "No one is ignored.", "probably-ignored": "No new face is like someone whom you ignored.", "not-faces": "Nothing was said to be no face." };

/** Make the list of faces that are ignored, probably ignored, or no faces. */
export function listFaces({ root, decide, part, problem }) {
  const state = part === "not-faces" ? "not-a-face" : part;
  const waits = part === "probably-ignored";
  const ignore = (faces, load) => async () => (await decide({ do: "ignore", faces: faces.map((one) => one.face) })) && load();
  return pages({
    ask: async (offset) => {
      const found = await get(`${root}/faces?state=${state}&limit=${PAGE}&offset=${offset}`);
      return [found.faces, found.total];
    },
    empty: EMPTY[part],
    total: (number, faces, load) =>
      waits && h("div", { class: "row" }, h("span", {}, count(number, "face")), action(`Ignore ${faces.length === number ? "all" : "these"} ${faces.length}`, ignore(faces, load), { place: problem })),
    card: (face, load) => [
      look(face),
      h("span", { class: "small" }, face.date.slice(0, 10)),
      face.like && h("span", { class: "pair small", title: face.like.photo }, "like ", crop(face.like.crop, `The ignored face of ${face.like.photo}`)),
      waits && action("Ignore", ignore([face], load), { kind: "quiet", place: problem, name: `Ignore the face of ${face.photo}` }),
      action("Take back", async () => (await decide({ do: "unknown", faces: [face.face] })) && load(), { kind: "quiet", place: problem, name: `Take back the face of ${face.photo}` }),
    ],
  });
}

/** Make the list of a person's photos, by date. */
export function listPhotos(name, { root }) {
  const about = (one) => (one.state === "confirmed" ? "confirmed" : `suggested, ${near(one.distance)}`);
  return pages({
    ask: async (offset) => {
      const found = await get(`${root}/people/${encodeURIComponent(name)}/photos?limit=${PAGE}&offset=${offset}`);
      return [found.photos, found.total];
    },
    empty: "No photo of the library shows this person yet.",
    card: (one) => [look(one, async () => get(`${root}/faces/${one.face}`)), h("span", {}, one.date.slice(0, 10)), h("span", { class: "small" }, about(one))],
    total: (number) => h("p", {}, count(number, "photo")),
  });
}

function look(face, whole = async () => face) {
  const button = h("button", { type: "button", class: "tile", "aria-label": `Open ${face.photo}, ${face.date.slice(0, 10)}`, title: face.photo }, crop(face.crop, ""));
  button.addEventListener("click", async () => photoDialog(await whole().catch(() => face), () => button.focus()));
  return button;
}

function pages({ ask, empty, card, total = () => null }) {
  const node = h("div", {}, loading());

  async function load(shown = PAGE) {
    try {
      const faces = [];
      let all = 0;
      do {
        const [some, number] = await ask(faces.length);
        faces.push(...some);
        all = number;
        if (some.length === 0) break;
      } while (faces.length < Math.min(shown, all));
      if (all === 0) return fill(node, h("p", { class: "card hint" }, empty));
      const list = h("ul", { class: "grid photos" }, faces.map((face) => h("li", { class: "card photo" }, card(face, () => load(shown)))));
      fill(node, total(all, faces, () => load(shown)), list, faces.length < all && action("Show more", () => load(shown + PAGE)));
    } catch (error) {
      fill(node, problemBox(error, action("Try again", () => load(shown))));
    }
  }

  return { node, load };
}
