// Which view is shown, the key, and whether the server answers.

import { accuracyView } from "./accuracy.js";
import { forgetKey, get, hasKey, keepKey, listen } from "./api.js";
import { ask, field } from "./dialogs.js";
import { doctorView } from "./doctor.js";
import { h } from "./dom.js";
import { identifyView } from "./identify.js";
import { libraryView } from "./library.js";
import { liveView } from "./live.js";
import { peopleView } from "./people.js";
import { personView } from "./person.js";

const main = document.getElementById("main");
const key = document.getElementById("key");
const offline = document.getElementById("offline");

const identify = identifyView();
const makers = {
  identify: () => identify,
  live: () =>
    liveView((picture) => {
      location.hash = "#/identify";
      identify.take([picture]);
    }),
  people: (name) => (name ? personView(name) : peopleView()),
  library: libraryView,
  accuracy: accuracyView,
  doctor: doctorView,
};
let shown = null;

/** Show the view that the address names; a name in it stays in the browser. */
function route(focus = true) {
  const [view, ...rest] = location.hash.replace(/^#\//, "").split("/");
  let name = "";
  try {
    name = decodeURIComponent(rest.join("/"));
  } catch {
    // No name.
  }
  const chosen = makers[view] ? view : "identify";
  shown?.leave();
  shown = makers[chosen](name);
  main.replaceChildren(shown.node);
  main.dataset.shown = location.hash;
  document.title = `${shown.title} – embed`;
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.dataset.view === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  shown.enter();
  if (focus) {
    window.scrollTo(0, 0);
    main.querySelector("h1")?.focus({ preventScroll: true });
  }
}

const keyShown = () => (key.hidden = !hasKey());

listen(
  (problem) => {
    forgetKey();
    keyShown();
    return ask({
      title: problem.kind === "no-key" ? "A key is needed" : "That key is not known",
      content: [
        h("p", {}, "Whoever runs the server makes one: ", h("code", {}, "embed serve keys new --scope administer")),
        field("Key", { name: "key", type: "password", required: true }, "Kept until this tab is closed; sent to this server alone."),
      ],
      label: "Use it",
      async work(form) {
        keepKey(form.get("key").trim());
        keyShown();
      },
    });
  },
  (reached) => (offline.hidden = reached),
);

key.addEventListener("click", () => {
  forgetKey();
  keyShown();
  route();
});
document.getElementById("again").addEventListener("click", () => get("/api/v1/gallery").then(() => route(), () => {}));
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view
  main.focus();
});
window.addEventListener("hashchange", () => route());
keyShown();
route(false);
