/**
 * Whether a pattern matches a secret's id, component by component: `*` stands for exactly one component and `**` for
 * any number of them, none included. It takes time in proportion to the product of the two lengths at most.
 */
export function matches(pattern: string, id: string): boolean {
  const components = id.split("/");
  // reached[i]: whether the part of the pattern so far matches the first i components.
  let reached = components.map(() => false);
  reached.unshift(true);
  for (const wanted of pattern.split("/")) {
    const next: boolean[] = [wanted === "**" && reached[0] === true];
    for (const [index, component] of components.entries()) {
      if (wanted === "**") next.push(next[index] === true || reached[index + 1] === true);
      else next.push(reached[index] === true && (wanted === "*" || wanted === component));
    }
    reached = next;
  }
  return reached[components.length] === true;
}
