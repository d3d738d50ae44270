// Calls as they end: a sample, in which those that failed are preferred.

import { useRef, useState } from "preact/hooks";
import { bytes, clock, duration } from "./format";
import { Empty, Panel, Search } from "./parts";
import { to } from "./route";
import { type Call, calls, listedOneOf, total } from "./store";

const SHOWN = 150;

export function Calls({ plugin }: { plugin?: string }) {
  const [text, setText] = useState("");
  const [failed, setFailed] = useState(false);
  const [slower, setSlower] = useState(0);
  const [paused, setPaused] = useState(false);
  const held = useRef<Call[]>([]);
  if (!paused) held.current = calls.value;
  const wanted = text.toLowerCase();
  const shown = held.current
    .filter(
      ({ record }) =>
        (plugin === undefined || record.callee === plugin || record.caller === plugin) &&
        (!failed || record.code !== "") &&
        Number(record.durationUs) >= slower * 1000 &&
        (!wanted ||
          `${record.caller} ${record.callee} ${record.method} ${record.code} ${record.message}`
            .toLowerCase()
            .includes(wanted)),
    )
    .slice(-SHOWN)
    .reverse();
  return (
    <>
      {plugin === undefined && <h1>Calls</h1>}
      <Panel
        title={plugin === undefined ? "As they end" : "Calls as they end"}
        extra={
          <div class="filters">
            <Search label="Filter calls" hint="Filter by method, plugin or error" value={text} set={setText} />
            <label>
              <input type="checkbox" checked={failed} onChange={(event) => setFailed(event.currentTarget.checked)} />{" "}
              Failed only
            </label>
            <label>
              Slower than{" "}
              <select
                value={slower}
                aria-label="Slower than"
                onChange={(event) => setSlower(Number(event.currentTarget.value))}
              >
                {[0, 1, 10, 100, 1000].map((least) => (
                  <option key={least} value={least}>
                    {least ? duration(least / 1000) : "any"}
                  </option>
                ))}
              </select>
            </label>
            <button type="button" aria-pressed={paused} onClick={() => setPaused(!paused)}>
              {paused ? "Go on" : "Pause"}
            </button>
          </div>
        }
      >
        {shown.length === 0 ? (
          <Empty>
            {calls.value.length ? "No call fits the filters." : "No call has ended since the page was opened."}
          </Empty>
        ) : (
          <div class="scroll tall" tabIndex={0} role="region" aria-label="Calls">
            <table class="calls">
              <thead>
                <tr>
                  <th>Time</th>
                  <th>From</th>
                  <th>To</th>
                  <th>Method</th>
                  <th>Outcome</th>
                  <th class="number">Duration</th>
                  <th class="number">Sent</th>
                  <th class="number">Received</th>
                </tr>
              </thead>
              <tbody>
                {shown.map((call) => (
                  <Row key={call.number} call={call} />
                ))}
              </tbody>
            </table>
          </div>
        )}
        <p class="note">
          {total.now.calls.toLocaleString("en")} calls have been counted since somebody first watched.{" "}
          {listedOneOf.value > 1 && (
            <>The list shows a sample: 1 of {listedOneOf.value} calls, and of those that failed as many as fit.</>
          )}
        </p>
      </Panel>
    </>
  );
}

function Row({ call: { time, record } }: { call: Call }) {
  return (
    <tr>
      <td class="mono">{clock(time)}</td>
      <td>
        <Party name={record.caller} />
      </td>
      <td>
        <Party name={record.callee} />
      </td>
      <td class="mono">
        {record.method}
        {record.stream && <small class="tag">stream</small>}
      </td>
      <td class={record.code ? "outcome bad" : "outcome"} title={record.message}>
        {record.code ? (
          <>
            <b>{record.code}</b> {record.message}
          </>
        ) : (
          "ok"
        )}
      </td>
      <td class="number">{duration(Number(record.durationUs) / 1e6)}</td>
      <td class="number">{bytes(Number(record.requestBytes))}</td>
      <td class="number">{bytes(Number(record.responseBytes))}</td>
    </tr>
  );
}

export function Party({ name }: { name: string }) {
  return name ? <a href={to("plugin", name)}>{name}</a> : <span class="muted">host</span>;
}
