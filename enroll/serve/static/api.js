// Requests to the server that this page came from. The key goes into a header, never into an address.

const KEY = "embed-key";
const OFFLINE = {
  title: "The server cannot be reached",
  detail: "the request got no answer",
  advice: "See whether `embed serve` still runs and this device is on its network, then try again.",
  status: 0,
};

/** An error of the server as RFC 9457 has it, or that there is no answer. */
export class Problem extends Error {
  constructor(facts, wait = 0) {
    super(`${facts.title}: ${facts.detail}`);
    this.facts = facts;
    this.wait = wait; // seconds after which to try again
  }

  get kind() {
    return (this.facts.type ?? "").replace("/problems/", "");
  }
}

let askForKey = async () => false;
let tellReached = () => {};
let asking = null;

/** Say what to do when a key is needed (gives whether there is one now), and when the server answers or not. */
export function listen(onKey, onReached) {
  askForKey = onKey;
  tellReached = onReached;
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const keepKey = (key) => sessionStorage.setItem(KEY, key);
export const forgetKey = () => sessionStorage.removeItem(KEY);

async function answered(method, path, options) {
  const headers = { Accept: options.accept ?? "application/json" };
  const key = sessionStorage.getItem(KEY);
  if (key) headers["X-API-Key"] = key;
  let body = options.form ?? null;
  if (options.json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(options.json);
  } else if (options.picture) {
    headers["Content-Type"] = options.picture.type || "image/jpeg";
    body = options.picture;
  }
  let response;
  try {
    response = await fetch(path, { method, headers, body, signal: options.signal, cache: options.cache ?? "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    tellReached(false);
    throw new Problem(OFFLINE);
  }
  tellReached(true);
  return { response, key };
}

/** Ask the server; gives the response, or throws a Problem. A key is asked for if one is needed. */
export async function send(method, path, options = {}) {
  for (;;) {
    const { response, key } = await answered(method, path, options);
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (response.status !== 401) throw problem;
    if (sessionStorage.getItem(KEY) !== key) continue; // another request asked meanwhile
    asking ??= askForKey(problem).finally(() => (asking = null));
    if (!(await asking)) throw problem;
  }
}

async function problemOf(response) {
  const wait = Number(response.headers.get("Retry-After")) || 0;
  try {
    return new Problem(await response.json(), wait);
  } catch {
    return new Problem({ title: "The server refuses it", detail: `status ${response.status}`, status: response.status }, wait);
  }
}

export const call = async (method, path, options) => (await send(method, path, options)).json();
export const get = (path, signal) => call("GET", path, { signal });

export const personPath = (name) => `/api/v1/people/${encodeURIComponent(name)}`;

/** Enroll pictures, or one face of a picture by its box. */
export function enroll(name, pictures, { box = null, force = false } = {}) {
  const form = new FormData();
  form.append("name", name);
  if (box) form.append("box", box.join(","));
  if (force) form.append("force", "true");
  for (const picture of pictures) form.append("photos", picture, picture.name ?? "camera.jpg");
  return call("POST", "/api/v1/people", { form });
}

/** Say who is in a picture. */
export function identify(picture, { explain = false, candidates = 5, signal } = {}) {
  const address = `/api/v1/identify?explain=${explain}&candidates=${candidates}`;
  if (!picture.name) return call("POST", address, { picture, signal });
  const form = new FormData();
  form.append("photos", picture, picture.name);
  return call("POST", address, { form, signal });
}

/** Follow something that takes long until it is over; gives its result. */
export async function follow(job, onStep, signal) {
  let wait = 150;
  while (!["done", "failed", "cancelled"].includes(job.state)) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(1.3 * wait, 1000);
    job = await get(`/api/v1/jobs/${job.id}`, signal);
    onStep(job);
  }
  if (job.state === "failed") throw new Problem(job.problem);
  if (job.state === "cancelled") throw new Problem({ title: "Stopped", detail: "what was done stays" });
  return job.result;
}
