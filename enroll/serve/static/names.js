// A field for a name that offers those who are enrolled.

import { get } from "./api.js";
import { fill, h, newId } from "./dom.js";

const OFFERED = 12;

/** Make the field: an input and what it offers. */
export function nameField(label, given = {}) {
  const list = h("datalist", { id: newId("names") });
  const id = newId("name");
  const input = h("input", {
    id, name: "name", list: list.id, autocomplete: "off", spellcheck: "false", maxlength: "200", required: true, ...given,
  });
  let asked = 0;
  const offer = async () => {
    const mine = ++asked;
    await new Promise((resolve) => setTimeout(resolve, 150));
    if (mine !== asked) return;
    try {
      const found = await get(`/api/v1/people?limit=${OFFERED}&search=${encodeURIComponent(input.value.trim())}`);
      if (mine === asked) fill(list, found.people.map((person) => h("option", { value: person.name })));
    } catch {
      // The field works without.
    }
  };
  input.addEventListener("input", offer);
  input.addEventListener("focus", offer, { once: true });
  return { input, label: h("label", { for: id }, label), list };
}
