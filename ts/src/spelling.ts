import type { DescService } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";

/** The share of two names that must agree for one to be taken for the other, as in the Python SDK. */
const ALIKE = 0.75;

/**
 * Makes a router refuse a service with a handler whose name is misspelt: such a handler would never be called, and its
 * method would end with `unimplemented`. The compiler tells it too, unless the implementation is a class or has been cast.
 */
export function checkSpelling(router: ConnectRouter): void {
  const add = router.service.bind(router);
  router.service = (service, implementation, options) => {
    check(service, implementation);
    return add(service, implementation, options);
  };
}

/** @throws TypeError for a function that is named almost as a method of the service that has no handler. */
function check(service: DescService, implementation: object): void {
  const functions = functionsOf(implementation);
  const known = new Set(service.methods.map(({ localName }) => localName));
  const missing = [...known].filter((name) => !functions.has(name));
  for (const name of functions) {
    if (known.has(name)) continue;
    const near = missing.find((method) => alike(name.toLowerCase(), method.toLowerCase()) >= ALIKE);
    if (near) {
      throw new TypeError(
        `${name} is no method of ${service.typeName} and would never be called; did you mean ${near}?`,
      );
    }
  }
}

/** The names of an object's functions, with those of its class. */
function functionsOf(value: object): Set<string> {
  const names = new Set<string>();
  for (let at = value; at && at !== Object.prototype; at = Object.getPrototypeOf(at) as object) {
    for (const [name, { value: found }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (typeof found === "function" && name !== "constructor") names.add(name);
    }
  }
  return names;
}

/** The share of two names that stands in both in the same order: the length of their longest common subsequence. */
function alike(one: string, other: string): number {
  let row = new Array<number>(other.length + 1).fill(0);
  for (const letter of one) {
    const next = [0];
    for (let at = 0; at < other.length; at++) {
      next.push(letter === other[at] ? (row[at] ?? 0) + 1 : Math.max(row[at + 1] ?? 0, next[at] ?? 0));
    }
    row = next;
  }
  return (2 * (row[other.length] ?? 0)) / (one.length + other.length);
}
