// Pictures → faces with names.

import { get, identify as ask } from "./api.js";
import { draw } from "./boxes.js";
import { action, count, fill, h, here, loading, problemBox, say } from "./dom.js";
import { faceCard } from "./facecard.js";

const MOST_PIXELS = 40e6; // larger ones are made smaller here: their faces are large enough all the same
const SHOWN = 20; // pictures that stay on the page

/** Make the view; it stays as it is while others are shown. */
export function identifyView() {
  const results = h("div", { class: "results" });
  const begin = h("div");
  const files = h("input", { type: "file", id: "files", class: "hidden-text", accept: "image/*", multiple: true });
  files.addEventListener("change", () => {
    take([...files.files]);
    files.value = "";
  });
  const drop = h(
    "div",
    { class: "drop", id: "drop" },
    h("p", {}, h("strong", {}, "Drop or paste a picture"), h("span", { class: "small" }, "It is not stored unless you enroll a face of it.")),
    h(
      "div",
      { class: "row" },
      files,
      h("label", { for: "files", class: "button main" }, "Choose pictures"),
      h("a", { class: "button", href: "#/live" }, "Use the camera"),
    ),
  );
  let depth = 0;
  drop.addEventListener("dragenter", () => drop.classList.toggle("over", ++depth > 0));
  drop.addEventListener("dragleave", () => drop.classList.toggle("over", --depth > 0));
  const dragged = (event) => event.preventDefault(); // else the browser leaves the page for the picture
  const dropped = (event) => {
    event.preventDefault();
    depth = 0;
    drop.classList.remove("over");
    take([...event.dataTransfer.files]);
  };
  const pasted = (event) => {
    const pictures = [...(event.clipboardData?.files ?? [])];
    if (pictures.length === 0) return;
    event.preventDefault();
    take(pictures);
  };

  async function take(pictures) {
    for (const picture of pictures) {
      const article = h("article", { class: "result" }, h("h2", {}, picture.name ?? "Picture"), loading("Looking for faces…"));
      results.prepend(article);
      while (results.children.length > SHOWN) results.lastElementChild.remove();
      await show(article, picture);
    }
  }

  async function show(article, given, notes = []) {
    const title = given.name ?? "Picture of the camera";
    try {
      const { picture, image } = await readable(given);
      const { answers, promise } = await ask(picture, { explain: true });
      const again = async (lines) => {
        await show(article, given, lines);
        article.querySelector("h2").focus();
        await hint();
      };
      const parts = shown(answers[0], { picture, image, enrolled: again });
      fill(article, heading(title, article), notes.map((note) => h("p", { class: "done" }, note)), parts, h("p", { class: "small" }, here(promise)));
      say(summary(answers[0]));
    } catch (error) {
      fill(article, heading(title, article), problemBox(error, action("Try again", () => show(article, given))));
    }
  }

  async function hint() {
    try {
      const gallery = await get("/api/v1/gallery");
      fill(begin, gallery.people === 0 && welcome());
    } catch (error) {
      fill(begin, problemBox(error, action("Try again", hint)));
    }
  }

  const node = h("div", {}, h("h1", { tabindex: "-1" }, "Who is in this picture?"), begin, drop, results);
  return {
    node,
    title: "Identify",
    take,
    enter() {
      document.addEventListener("paste", pasted);
      document.addEventListener("dragover", dragged);
      document.addEventListener("drop", dropped);
      hint();
    },
    leave() {
      document.removeEventListener("paste", pasted);
      document.removeEventListener("dragover", dragged);
      document.removeEventListener("drop", dropped);
    },
  };
}

function welcome() {
  return h(
    "div",
    { class: "card hint" },
    h("h2", {}, "No one is enrolled yet"),
    h("p", {}, "Drop a picture of someone, then write their name beside the face and press Enroll. Three to five pictures a person, of different days, make good answers."),
    h("p", {}, "For many people at once: ", h("a", { href: "#/people" }, "People"), " takes whole folders."),
  );
}

function heading(title, article) {
  return h(
    "div",
    { class: "row between" },
    h("h2", { tabindex: "-1" }, title),
    h("button", { type: "button", class: "quiet", "aria-label": `Take ${title} off the page`, onclick: () => article.remove() }, "Close"),
  );
}

function summary(answer) {
  if (answer.faces.length === 0) return "No face found.";
  const named = answer.faces.filter((face) => face.identity !== null).map((face) => face.identity);
  const unknown = answer.faces.length - named.length;
  return [...named, ...(unknown ? [count(unknown, "unknown face")] : [])].join(", ");
}

function shown(answer, context) {
  const { image } = context;
  const overlay = h("div", { class: "overlay" });
  const cards = answer.faces.map((face, number) => faceCard(face, number, context));
  if (image) {
    draw(overlay, answer.faces, image.naturalWidth, image.naturalHeight, (number) => {
      cards.forEach((card, other) => card.classList.toggle("chosen", other === number));
      cards[number].querySelector("details").open = true;
      cards[number].focus();
      cards[number].scrollIntoView({ block: "nearest" });
    });
    image.alt = `The picture, with ${count(answer.faces.length, "face")}`;
  }
  return [
    answer.notes.map((note) => h("p", { class: "small" }, note)),
    h(
      "div",
      { class: "answer" },
      image ? h("div", { class: "picture" }, image, overlay) : h("p", { class: "picture none" }, "This browser cannot show pictures of this kind."),
      answer.faces.length > 0
        ? h("ol", { class: "cards", "aria-label": "Faces" }, cards)
        : h("p", { class: "card" }, h("strong", {}, "No face found."), " ", answer.no_face ?? ""),
    ),
  ];
}

/** Give a picture as it is sent and as it is shown; both are of one size, so that frames fit. */
async function readable(given) {
  const image = new Image();
  image.src = URL.createObjectURL(given);
  try {
    await image.decode();
  } catch {
    return { picture: given, image: null }; // the server may know the format
  } finally {
    // The element keeps what it shows.
    setTimeout(() => URL.revokeObjectURL(image.src), 60_000);
  }
  const pixels = image.naturalWidth * image.naturalHeight;
  if (pixels <= MOST_PIXELS) return { picture: given, image };
  const share = Math.sqrt(MOST_PIXELS / 2 / pixels);
  const canvas = h("canvas", { width: Math.round(share * image.naturalWidth), height: Math.round(share * image.naturalHeight) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  const made = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  return readable(new File([made], given.name ?? "picture.jpg", { type: made.type }));
}
