// Work of the server that takes long: a bar, and a button that ends it.

import { call, follow } from "./api.js";
import { action, fill, h } from "./dom.js";

/** Start a job and show how far it is in `place`; gives its result. */
export async function work(place, address, json, what) {
  const job = await call("POST", address, { json });
  const bar = h("progress", { "aria-label": what });
  const step = h("p", { class: "small" }, "Waiting…");
  const stop = action("Stop", () => call("DELETE", `/api/v1/jobs/${job.id}`), { place: h("div") });
  fill(place, h("div", { class: "card" }, h("p", {}, `${what}…`), bar, step, stop));
  try {
    return await follow(job, (now) => {
      if (now.total) {
        bar.max = now.total;
        bar.value = now.done;
      }
      fill(step, now.state === "waiting" ? "Waiting…" : now.step);
    });
  } finally {
    fill(place);
  }
}
