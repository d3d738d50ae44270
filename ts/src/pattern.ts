/**
 * Ids of secrets, and patterns over them. An id is components of letters, digits and `._:-`, joined by slashes. In a
 * pattern a component may be `*`, which stands for exactly one component, or `**`, for any number of them, none included.
 */

import { MAX_PATTERN } from "./limits.js";

const ID = /^[A-Za-z0-9._:-]+(?:\/[A-Za-z0-9._:-]+)*$/;
const PATTERN = /^(?:\*\*?|[A-Za-z0-9._:-]+)(?:\/(?:\*\*?|[A-Za-z0-9._:-]+))*$/;

export function isId(text: string): boolean {
  return text.length <= MAX_PATTERN && ID.test(text);
}

export function isPattern(text: string): boolean {
  return text.length <= MAX_PATTERN && PATTERN.test(text);
}

/** Whether a pattern matches an id; what is not well formed as an id is matched by no pattern. */
export function matches(pattern: string, id: string): boolean {
  return isId(id) && accepts(pattern, id, (wanted, component) => wanted === "*" || wanted === component);
}

/**
 * Whether a pattern covers another one: it matches the other's text as if that were an id, and a literal component of it
 * accepts `*` as well. So `a/b` includes `a/*`: a provider that has one id of a pattern is asked for the pattern.
 */
export function includes(pattern: string, other: string): boolean {
  return accepts(pattern, other, (wanted, component) => wanted === "*" || component === "*" || wanted === component);
}

/** The narrower of two patterns where one includes the other, `other` when both do; undefined when neither does. */
export function filter(pattern: string, other: string): string | undefined {
  if (includes(pattern, other)) return other;
  return includes(other, pattern) ? pattern : undefined;
}

/**
 * Whether a pattern accepts the components of a text. When a component does not fit, only the last `**` can have taken
 * too few, so the time is at most proportional to the product of the two lengths.
 */
function accepts(pattern: string, text: string, fits: (wanted: string, component: string) => boolean): boolean {
  const wanted = pattern.split("/");
  const components = text.split("/");
  let at = 0;
  let retryAt = -1;
  let retryFrom = 0;
  for (let position = 0; position < components.length; ) {
    if (wanted[at] === "**") {
      retryAt = at += 1;
      retryFrom = position;
    } else if (at < wanted.length && fits(wanted[at] as string, components[position] as string)) {
      at += 1;
      position += 1;
    } else if (retryAt >= 0) {
      at = retryAt;
      position = retryFrom += 1;
    } else {
      return false;
    }
  }
  while (wanted[at] === "**") at += 1;
  return at === wanted.length;
}
