// The camera, with names over the faces: one request at a time, of a small picture.

import { identify } from "./api.js";
import { draw, who } from "./boxes.js";
import { action, fill, h, named, near, problemBox, say } from "./dom.js";

const SIDE = 640; // pixels of the longer side that are sent: a face across a room has 40 of them
const QUALITY = 0.8;
const SPACING = 100; // milliseconds between two pictures at least: half of what a key may ask for
const RECENT = 2000; // milliseconds over which pictures are counted
const QUIET = 3000; // milliseconds between two things that are read out

/** Make the view; `taken` gets a picture of the camera. */
export function liveView(taken) {
  const video = h("video", { playsinline: true, muted: true, "aria-label": "Camera" });
  video.muted = true;
  const overlay = h("div", { class: "overlay", "aria-hidden": "true" });
  const stage = h("div", { class: "picture stage", hidden: true }, video, overlay);
  const rate = h("p", { class: "small", id: "rate" });
  const present = h("ul", { class: "present", "aria-label": "Faces now" });
  const problem = h("div");
  const canvas = document.createElement("canvas");
  let running = null; // aborts what runs
  let facing = "user";
  let saidAt = 0;
  let said = "";

  const start = action("Start the camera", begin, { kind: "main", place: problem });
  const stop = h("button", { type: "button", hidden: true, onclick: end }, "Stop");
  const turn = action("Other camera", async () => {
    facing = facing === "user" ? "environment" : "user";
    end();
    await begin();
  }, { place: problem });
  const take = action("Take this picture", takeOne, { kind: "main", place: problem });
  turn.hidden = take.hidden = true;

  async function begin() {
    if (!navigator.mediaDevices) {
      throw {
        facts: {
          title: "The camera cannot be used here",
          detail: "browsers give it to pages over HTTPS or of this machine alone",
          advice: "Start the server with --certificate and open it by https, or choose a picture instead.",
        },
      };
    }
    const wanted = { video: { facingMode: facing, width: { ideal: 1280 }, height: { ideal: 720 } }, audio: false };
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia(wanted);
    } catch (error) {
      throw { facts: refused(error) };
    }
    await video.play();
    shownAs(true);
    running = new AbortController();
    follow(running.signal);
  }

  function end() {
    running?.abort();
    running = null;
    video.srcObject?.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    fill(overlay);
    fill(present);
    fill(rate);
    shownAs(false);
  }

  function shownAs(on) {
    const focused = document.activeElement;
    stage.hidden = stop.hidden = turn.hidden = take.hidden = !on;
    start.hidden = on;
    if (focused === start || focused === stop) (on ? stop : start).focus();
  }

  async function follow(signal) {
    const times = [];
    while (!signal.aborted) {
      const begun = performance.now();
      try {
        if (document.hidden || video.readyState < 2) {
          await pause(200);
          continue;
        }
        const picture = await small();
        const [width, height] = [canvas.width, canvas.height];
        const asked = performance.now();
        const { answers } = await identify(picture, { candidates: 1, signal });
        if (signal.aborted) return;
        fill(problem);
        show(answers[0].faces, width, height);
        const now = performance.now();
        times.push(now);
        while (now - times[0] > RECENT) times.shift();
        const seconds = (now - times[0]) / 1000;
        const each = seconds > 0 ? ((times.length - 1) / seconds).toFixed(1) : "–";
        fill(rate, `${each} pictures a second, ${Math.round(now - asked)} ms each, ${width} × ${height}`);
      } catch (error) {
        if (signal.aborted) return;
        fill(problem, problemBox(error));
        if (![0, 408, 422, 429, 503].includes(error.facts?.status)) return end();
        await pause(1000 * (error.wait || 2));
      }
      await pause(Math.max(0, SPACING - (performance.now() - begun)));
    }
  }

  /** Give the picture of now, scaled down, as JPEG. */
  function small() {
    const share = Math.min(1, SIDE / Math.max(video.videoWidth, video.videoHeight));
    return jpeg(share, QUALITY);
  }

  function jpeg(share, quality) {
    canvas.width = Math.round(share * video.videoWidth);
    canvas.height = Math.round(share * video.videoHeight);
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
  }

  function show(faces, width, height) {
    draw(overlay, faces, width, height);
    fill(
      present,
      faces.length === 0
        ? h("li", {}, "No face")
        : faces.map((face) => h("li", { class: face.identity === null ? "unknown" : "known" }, named(who(face)), face.distance !== null && ` ${near(face.distance)}`)),
    );
    const now = faces.map(who).sort().join(", ") || "No face";
    if (now !== said && performance.now() - saidAt > QUIET) {
      [said, saidAt] = [now, performance.now()];
      say(now);
    }
  }

  async function takeOne() {
    const picture = await jpeg(1, 0.95);
    const file = new File([picture], "camera.jpg", { type: "image/jpeg" });
    end();
    taken(file);
  }

  const node = h(
    "div",
    {},
    h("h1", { tabindex: "-1" }, "Live"),
    h("p", { class: "lead" }, "Names over the faces that the camera sees. Nothing is stored."),
    h("div", { class: "row" }, start, take, stop, turn),
    problem,
    stage,
    present,
    rate,
  );
  return { node, title: "Live", enter() {}, leave: end };
}

function refused(error) {
  const title = "There is no picture of the camera";
  if (error.name === "NotAllowedError") {
    return { title, detail: "this page may not use it", advice: "Allow the camera for this page in the browser's settings, then start it again." };
  }
  if (error.name === "NotFoundError" || error.name === "OverconstrainedError") {
    return { title, detail: "no camera was found", advice: "Connect one, or choose a picture instead." };
  }
  return { title, detail: error.message, advice: "Close other programs that use the camera, then start it again." };
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
