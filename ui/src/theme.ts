// Light or dark: as the system has it, until somebody chooses.

import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const KEY = "plugmux.theme";
const stored = localStorage.getItem(KEY);

export const theme = signal<Theme>(stored === "light" || stored === "dark" ? stored : "system");

effect(() => {
  if (theme.value === "system") {
    delete document.documentElement.dataset["theme"];
    localStorage.removeItem(KEY);
  } else {
    document.documentElement.dataset["theme"] = theme.value;
    localStorage.setItem(KEY, theme.value);
  }
});

const system = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => theme.value === "dark" || (theme.value === "system" && system.matches);

export function toggleTheme(): void {
  theme.value = isDark() ? "light" : "dark";
}

export type Color = "accent" | "bad" | "second" | "muted" | "panel" | "line";

let known: { dark: boolean; colors: Map<Color, string> } | undefined;

/** A colour of the style sheet as a canvas takes it: the sheet has each colour twice, for light and for dark. */
export function color(name: Color): string {
  const dark = isDark();
  if (known?.dark !== dark) known = { dark, colors: new Map() };
  let found = known.colors.get(name);
  if (!found) {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(--${name})`;
    found = getComputedStyle(probe).color;
    probe.remove();
    known.colors.set(name, found);
  }
  return found;
}
