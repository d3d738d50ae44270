// Where in the page one is: the part of the address behind the `#`.

import { computed, signal } from "@preact/signals";

const hash = signal(location.hash);
addEventListener("hashchange", () => (hash.value = location.hash));

/** The words of the place: ["plugin", "kv", "logs"]. */
export const place = computed(() => hash.value.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded));

export const to = (...words: string[]) => `#/${words.map(encodeURIComponent).join("/")}`;

export const go = (...words: string[]) => {
  location.hash = to(...words);
};

function decoded(word: string): string {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}
