// What the plugins print and log, and what the runtime says of them; and what happened to the plugins.

import { useEffect, useRef, useState } from "preact/hooks";
import { clock } from "./format";
import { Empty, Panel, Search, Words } from "./parts";
import { to } from "./route";
import { events, lines, plugins } from "./store";

const SHOWN = 500;
const LEVELS = ["debug", "info", "warning", "error", "critical"];

export function Logs({ plugin }: { plugin?: string }) {
  const [text, setText] = useState("");
  const [from, setFrom] = useState("");
  const [source, setSource] = useState("");
  const [level, setLevel] = useState("debug");
  const least = LEVELS.indexOf(level);
  const wanted = text.toLowerCase();
  const of = plugin ?? from;
  const shown = lines.value
    .filter(
      ({ line }) =>
        (!of || line.plugin === of) &&
        (!source || line.source === source) &&
        (least === 0 || LEVELS.indexOf(line.level) >= least) &&
        (!wanted || `${line.message} ${line.fieldsJson}`.toLowerCase().includes(wanted)),
    )
    .slice(-SHOWN);
  return (
    <>
      {plugin === undefined && <h1>Logs</h1>}
      <Panel
        title={plugin === undefined ? "All plugins" : "Log"}
        extra={
          <div class="filters">
            <Search label="Filter lines" hint="Filter by text" value={text} set={setText} />
            {plugin === undefined && (
              <Choice label="Plugin" value={from} set={setFrom} options={[["", "All plugins"], ...names().map(pair)]} />
            )}
            <Choice
              label="Source"
              value={source}
              set={setSource}
              options={[["", "All sources"], ...["stdout", "stderr", "log", "runtime"].map(pair)]}
            />
            <Choice
              label="Least level"
              value={level}
              set={setLevel}
              options={LEVELS.map((each) => [each, `${each} and up`])}
            />
          </div>
        }
      >
        {shown.length === 0 ? (
          <Empty>{lines.value.length ? "No line fits the filters." : "Nothing has been said yet."}</Empty>
        ) : (
          <Following count={shown.at(-1)?.number ?? 0}>
            {shown.map(({ number, time, line }) => (
              <li key={number} class={`level-${line.level}`}>
                <time>{clock(time)}</time>
                <span class="level">{line.level}</span>
                {plugin === undefined && <a href={to("plugin", line.plugin, "logs")}>{line.plugin}</a>}
                <span class="source">{line.source}</span>
                <span class="text">
                  <Words text={line.message} />
                  {line.fieldsJson && <small> {line.fieldsJson}</small>}
                </span>
              </li>
            ))}
          </Following>
        )}
      </Panel>
    </>
  );
}

const pair = (word: string): [string, string] => [word, word];
const names = () => [...new Set(plugins.value.map((plugin) => plugin.name))];

function Choice(props: { label: string; value: string; set: (value: string) => void; options: [string, string][] }) {
  return (
    <select aria-label={props.label} value={props.value} onChange={(event) => props.set(event.currentTarget.value)}>
      {props.options.map(([value, text]) => (
        <option key={value} value={value}>
          {text}
        </option>
      ))}
    </select>
  );
}

/** Lines that stay at the end while somebody reads there. */
function Following({ count, children }: { count: number; children: preact.ComponentChildren }) {
  const ref = useRef<HTMLOListElement>(null);
  const atEnd = useRef(true);
  useEffect(() => {
    const list = ref.current;
    if (list && atEnd.current) list.scrollTop = list.scrollHeight;
  }, [count]);
  const scrolled = (event: Event) => {
    const list = event.currentTarget as HTMLElement;
    atEnd.current = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
  };
  return (
    <ol class="lines" ref={ref} tabIndex={0} aria-label="Lines" onScroll={scrolled}>
      {children}
    </ol>
  );
}

export function Events({ plugin }: { plugin?: string }) {
  const [text, setText] = useState("");
  const [kind, setKind] = useState("");
  const wanted = text.toLowerCase();
  const shown = events.value
    .filter(
      ({ event }) =>
        (plugin === undefined || event.plugin === plugin) &&
        (!kind || event.kind === kind) &&
        (!wanted || `${event.plugin} ${event.state} ${event.health} ${event.status}`.toLowerCase().includes(wanted)),
    )
    .slice(-SHOWN)
    .reverse();
  return (
    <>
      {plugin === undefined && <h1>Events</h1>}
      <Panel
        title={plugin === undefined ? "What happened to the plugins" : "Events"}
        extra={
          <div class="filters">
            <Search label="Filter events" hint="Filter by plugin, state or reason" value={text} set={setText} />
            <Choice
              label="Kind"
              value={kind}
              set={setKind}
              options={[["", "All kinds"], ...["change", "refused", "overlap"].map(pair)]}
            />
          </div>
        }
      >
        {shown.length === 0 ? (
          <Empty>{events.value.length ? "No event fits the filters." : "Nothing has happened yet."}</Empty>
        ) : (
          <div class="scroll tall" tabIndex={0} role="region" aria-label="Events">
            <table>
              <thead>
                <tr>
                  <th>Time</th>
                  <th>Plugin</th>
                  <th>Change</th>
                  <th>Why</th>
                </tr>
              </thead>
              <tbody>
                {shown.map(({ number, time, event }) => (
                  <tr key={number}>
                    <td class="mono">{clock(time)}</td>
                    <td>
                      <a href={to("plugin", event.plugin)}>{event.plugin}</a>
                    </td>
                    <td>
                      {event.before !== event.state && <span class="muted">{event.before} → </span>}
                      <b>{event.state}</b>
                      {event.health && event.health !== "serving" && event.health !== "unknown" && ` · ${event.health}`}
                      {event.kind !== "change" && <small class="tag">{event.kind}</small>}
                    </td>
                    <td class="why">
                      <Words text={event.status} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Panel>
    </>
  );
}
