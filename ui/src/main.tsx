// The page: a list of plugins beside what is looked at.

import { signal } from "@preact/signals";
import { Component, type ComponentChildren, render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Calls } from "./calls";
import { rate } from "./format";
import { Events, Logs } from "./logs";
import { Overview } from "./overview";
import { mood, Search } from "./parts";
import { Plugin, TABS } from "./plugin";
import { go, place, to } from "./route";
import { connection, follow, host, perPlugin, plugins, problem, tick, total } from "./store";
import "./style.css";
import { theme, toggleTheme } from "./theme";

const filter = signal("");
const helping = signal(false);

function Page() {
  const [part = "", ...words] = place.value;
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    main.current?.scrollTo({ top: 0 });
    document.title = part === "plugin" && words[0] ? `${words[0]} – plugmux` : "plugmux";
  }, [part, words[0], words[1]]);
  return (
    <>
      <Side part={part} chosen={part === "plugin" ? words[0] : undefined} />
      <main ref={main} tabIndex={-1} class={connection.value === "lost" ? "stale" : ""}>
        <Banner />
        <Guard key={place.value.join("/")}>
          {part === "" && <Overview />}
          {part === "calls" && <Calls />}
          {part === "logs" && <Logs />}
          {part === "events" && <Events />}
          {part === "plugin" && <Plugin key={words[0]} words={words} />}
        </Guard>
      </main>
      <Help />
    </>
  );
}

function skip(event: Event): void {
  event.preventDefault();
  document.querySelector("main")?.focus();
}

function Banner() {
  if (connection.value === "open") return null;
  if (connection.value === "connecting") return <p class="busy">Asking the runtime …</p>;
  return (
    <p class="banner" role="alert">
      <b>The runtime does not answer.</b> {host.value && "What is shown is how it was last. "}The page tries again.
      {problem.value && <small>{problem.value}</small>}
    </p>
  );
}

function Side({ part, chosen }: { part: string; chosen?: string }) {
  void tick.value;
  const wanted = filter.value.toLowerCase();
  const shown = plugins.value.filter(
    (plugin) => plugin.name.toLowerCase().includes(wanted) || plugin.state.includes(wanted),
  );
  const pages = [
    ["", "Runtime"],
    ["calls", "Calls"],
    ["logs", "Logs"],
    ["events", "Events"],
  ] as const;
  return (
    <aside>
      <a class="skip" href={to()} onClick={skip}>
        Skip to the content
      </a>
      <div class="brand">
        <img src="./icon.svg" alt="" width="24" height="24" />
        <strong>plugmux</strong>
        <span class={`dot ${connection.value}`} role="img" aria-label={`connection ${connection.value}`} />
      </div>
      <nav aria-label="Pages">
        {pages.map(([word, text]) => (
          <a key={word} href={word ? to(word) : to()} aria-current={part === word ? "page" : undefined}>
            {text}
            {word === "" && <span class="number">{rate(total.perSecond)}/s</span>}
          </a>
        ))}
      </nav>
      <div class="find">
        <Search label="Filter plugins" value={filter.value} set={(value) => (filter.value = value)} plugins />
        <kbd aria-hidden="true">/</kbd>
      </div>
      <nav class="list" aria-label="Plugins">
        {shown.map((plugin) => (
          <a
            key={`${plugin.name} ${plugin.replica}`}
            href={to("plugin", plugin.name)}
            aria-current={chosen === plugin.name ? "page" : undefined}
            title={plugin.status || plugin.state}
          >
            <i class={mood(plugin)} aria-hidden="true" />
            <span class="name">{plugin.name}</span>
            <span class="number">
              {plugin.state === "running" ? `${rate(perPlugin.get(plugin.name)?.perSecond ?? 0)}/s` : plugin.state}
            </span>
          </a>
        ))}
        {shown.length === 0 && <p class="note">{plugins.value.length ? "No plugin fits." : "No plugins."}</p>}
      </nav>
      <footer>
        <span>
          {host.value?.name} {host.value?.version}
          <br />
          pid {host.value?.pid ?? "–"}
        </span>
        <button
          type="button"
          onClick={toggleTheme}
          aria-label="Switch between light and dark"
          data-theme-now={theme.value}
        >
          <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
            <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.5" />
            <path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" />
          </svg>
        </button>
        <button type="button" onClick={() => (helping.value = true)} aria-label="Keys">
          ?
        </button>
      </footer>
    </aside>
  );
}

const KEYS = [
  ["/", "filter plugins"],
  ["f", "filter what is shown"],
  ["j, k", "next, previous plugin"],
  ["1 … 6", "part of the plugin"],
  ["g", "the runtime"],
  ["c, l, e", "calls, logs, events"],
  ["t", "light or dark"],
  ["Ctrl+Enter", "call the method"],
  ["?", "these keys"],
];

function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (helping.value) dialog.current?.showModal();
    else dialog.current?.close();
  }, [helping.value]);
  return (
    <dialog ref={dialog} aria-labelledby="keys" onClose={() => (helping.value = false)}>
      <h2 id="keys">Keys</h2>
      <dl>
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <button type="button" onClick={() => (helping.value = false)}>
        Close
      </button>
    </dialog>
  );
}

function step(by: number): void {
  const names = [...new Set(plugins.value.map((plugin) => plugin.name))];
  const [part, name = "", tab] = place.value;
  const at = part === "plugin" ? names.indexOf(name) : by > 0 ? -1 : names.length;
  const next = names[Math.min(Math.max(at + by, 0), names.length - 1)];
  if (next) go("plugin", next, ...(tab && tab !== "call" ? [tab] : []));
}

function pressed(event: KeyboardEvent): void {
  const target = event.target as HTMLElement;
  if (event.key === "Escape") helping.value = false;
  if (event.key === "Escape" && target.matches("input, textarea, select")) target.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || target.matches("input, textarea, select") || helping.value)
    return;
  const [part, name = ""] = place.value;
  const focus = (selector: string) => document.querySelector<HTMLInputElement>(selector)?.focus();
  const actions: Record<string, () => void> = {
    "/": () => focus("[data-filter=plugins]"),
    f: () => focus("[data-filter=page]"),
    j: () => step(1),
    k: () => step(-1),
    g: () => go(),
    c: () => go("calls"),
    l: () => go("logs"),
    e: () => go("events"),
    t: toggleTheme,
    "?": () => (helping.value = true),
  };
  const tab = TABS[Number(event.key) - 1];
  const action = actions[event.key] ?? (part === "plugin" && tab ? () => go("plugin", name, tab) : undefined);
  if (action) {
    event.preventDefault();
    action();
  }
}

/** Keeps a defect of one part from taking the whole page down. */
class Guard extends Component<{ children: ComponentChildren }, { error?: Error }> {
  override componentDidCatch(error: Error): void {
    console.error(error);
    this.setState({ error });
  }
  override render() {
    return this.state.error ? (
      <p class="problem" role="alert">
        This part of the page failed: {this.state.error.message}
      </p>
    ) : (
      this.props.children
    );
  }
}

addEventListener("keydown", pressed);
render(<Page />, document.getElementById("page")!);
void follow();
