// The small parts that the page is made of.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { PluginStatus } from "#gen/plugmux/v1/inspect_pb";

const WORKING = new Set(["running"]);
const COMING = new Set(["starting", "registering", "stopping", "backing off"]);

/** How a plugin does, as one word that the style sheet has a colour for. */
export function mood(plugin: PluginStatus): "good" | "warn" | "bad" | "idle" | "busy" {
  if (WORKING.has(plugin.state)) {
    if (plugin.health && plugin.health !== "serving") return "warn";
    return plugin.circuit === "closed" ? "good" : "warn";
  }
  if (COMING.has(plugin.state)) return "busy";
  return plugin.state === "disabled" || plugin.state === "stopped" ? "idle" : "bad";
}

export function State({ plugin }: { plugin: PluginStatus }) {
  const more = plugin.state === "running" && plugin.health && plugin.health !== "serving" ? ` · ${plugin.health}` : "";
  const circuit = plugin.circuit !== "closed" ? ` · circuit ${plugin.circuit}` : "";
  return (
    <span class={`state ${mood(plugin)}`}>
      <i aria-hidden="true" />
      {plugin.state}
      {more}
      {circuit}
    </span>
  );
}

/** Where the documentation is: errors name its pages. `tests/inspector` holds it against the runtime's own. */
export const DOCUMENTATION = "https://plugmux.dev/docs/";
const ADDRESS = new RegExp(`(${DOCUMENTATION.replaceAll(".", "\\.")}[\\w/-]+\\.html(?:#[\\w.-]+)?)`);

/** What somebody has written, as text; of addresses, only those of the documentation become links. */
export function Words({ text }: { text: string }) {
  const parts = text.split(ADDRESS);
  return (
    <>
      {parts.map((part, place) =>
        place % 2 ? (
          <a href={part} target="_blank" rel="noreferrer">
            {part}
          </a>
        ) : (
          part
        ),
      )}
    </>
  );
}

export function Tile({ name, value, hint, bad }: { name: string; value: string; hint?: string; bad?: boolean }) {
  return (
    <div class="tile">
      <dt>{name}</dt>
      <dd class={bad ? "bad" : ""}>{value}</dd>
      {hint && <dd class="hint">{hint}</dd>}
    </div>
  );
}

export function Panel({
  title,
  extra,
  children,
}: {
  title: string;
  extra?: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <section class="panel">
      <header>
        <h2>{title}</h2>
        {extra}
      </header>
      {children}
    </section>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

/** A field that filters what is shown: of a page the one that the key "f" leads to, beside the plugins that of "/". */
export function Search({
  label,
  hint = label,
  value,
  set,
  plugins = false,
}: {
  label: string;
  hint?: string;
  value: string;
  set: (value: string) => void;
  plugins?: boolean;
}) {
  return (
    <input
      type="search"
      data-filter={plugins ? "plugins" : "page"}
      placeholder={hint}
      aria-label={label}
      value={value}
      onInput={(event) => set(event.currentTarget.value)}
    />
  );
}

export function Copy({ text, children }: { text: () => string; children: ComponentChildren }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text());
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <button type="button" onClick={() => void copy()}>
      <span aria-live="polite">{copied ? "Copied" : children}</span>
    </button>
  );
}
