// All plugins in one table, and the runtime as a whole above it.

import { useMemo, useState } from "preact/hooks";
import type { PluginStatus } from "#gen/plugmux/v1/inspect_pb";
import { age, bytes, count, duration, percent, rate } from "./format";
import { Empty, Panel, State, Tile } from "./parts";
import { Plot } from "./plot";
import { to } from "./route";
import type { Series } from "./series";
import { host, load, milliseconds, perPlugin, plugins, tick, total } from "./store";

export const uptime = (plugin: PluginStatus) => (Date.now() - milliseconds(plugin.since)) / 1000;

export function Overview() {
  void tick.value;
  const running = plugins.value.filter((plugin) => plugin.state === "running").length;
  return (
    <>
      <h1>Runtime</h1>
      <dl class="tiles">
        <Tile name="Plugins" value={`${running} / ${plugins.value.length}`} hint="running" />
        <Tile name="Calls per second" value={rate(total.perSecond)} hint={`${count(total.now.calls)} seen`} />
        <Tile
          name="Errors per second"
          value={rate(total.errorsPerSecond)}
          hint={`${count(total.now.errors)} seen`}
          bad={total.errorsPerSecond > 0}
        />
        <Tile name="Latency" value={duration(total.latency(0.5))} hint={`99 %: ${duration(total.latency(0.99))}`} />
        <Tile name="Host processor" value={percent(load(""))} hint="of one core" />
        <Tile name="Host memory" value={bytes(Number(host.value?.resources?.memoryBytes ?? 0))} hint="resident" />
      </dl>
      <Plots />
      <Table />
    </>
  );
}

function Plots() {
  const rates = useMemo(
    () => [
      { name: "calls", color: "accent" as const, values: total.rate, fill: true },
      { name: "errors", color: "bad" as const, values: total.errors },
    ],
    [],
  );
  const latencies = useMemo(
    () => [
      { name: "99 %", color: "second" as const, values: total.slowest },
      { name: "median", color: "accent" as const, values: total.median },
    ],
    [],
  );
  return (
    <div class="plots">
      <Panel
        title="Calls and errors per second"
        extra={<Legend names={["calls", "errors"]} colors={["accent", "bad"]} />}
      >
        <Plot label="Calls per second" curves={rates} format={rate} />
      </Panel>
      <Panel title="Latency" extra={<LatencyLegend series={total} />}>
        <Plot label="Latency" curves={latencies} format={duration} />
      </Panel>
    </div>
  );
}

export function Legend({ names, colors }: { names: string[]; colors: string[] }) {
  return (
    <span class="legend">
      {names.map((name, index) => (
        <span key={name} class={colors[index]}>
          {name}
        </span>
      ))}
    </span>
  );
}

export function LatencyLegend({ series }: { series?: Series }) {
  const oneOf = series?.timedOneOf ?? 1;
  return (
    <span class="extras">
      {oneOf > 1 && (
        <small title="Every call and every error is counted; of busy methods a random sample is timed">
          sample: 1 of {oneOf} calls
        </small>
      )}
      <Legend names={["median", "99 %"]} colors={["accent", "second"]} />
    </span>
  );
}

type Column = "name" | "state" | "rate" | "errors" | "latency" | "memory" | "restarts" | "cpu";

const VALUES: Record<Column, (plugin: PluginStatus) => string | number> = {
  name: (plugin) => plugin.name,
  state: (plugin) => plugin.state,
  rate: (plugin) => -(perPlugin.get(plugin.name)?.perSecond ?? 0),
  errors: (plugin) => -(perPlugin.get(plugin.name)?.errorsPerSecond ?? 0),
  latency: (plugin) => -(perPlugin.get(plugin.name)?.latency(0.99) ?? 0),
  cpu: (plugin) => -(load(plugin.name) ?? 0),
  memory: (plugin) => -Number(plugin.resources?.memoryBytes ?? 0),
  restarts: (plugin) => -plugin.restarts,
};

function Table() {
  const [column, setColumn] = useState<Column>("name");
  const value = VALUES[column];
  const sorted = [...plugins.value].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    return a < b ? -1 : a > b ? 1 : one.name.localeCompare(other.name) || one.replica - other.replica;
  });
  const head = (key: Column, text: string, numeric = true) => (
    <th
      class={numeric ? "number" : ""}
      aria-sort={column === key ? (key === "name" ? "ascending" : "descending") : "none"}
    >
      <button type="button" onClick={() => setColumn(key)}>
        {text}
      </button>
    </th>
  );
  return (
    <Panel title="Plugins">
      {sorted.length === 0 ? (
        <Empty>
          This runtime has no plugins yet. One appears here as soon as the host launches it, or it registers by itself.
        </Empty>
      ) : (
        <div class="scroll" tabIndex={0} role="region" aria-label="Plugins">
          <table>
            <thead>
              <tr>
                {head("name", "Name", false)}
                {head("state", "State", false)}
                <th>Version</th>
                <th class="number">Uptime</th>
                {head("rate", "Calls/s")}
                <th>
                  <span class="unseen">Calls per second over time</span>
                </th>
                {head("errors", "Errors/s")}
                <th class="number">Median</th>
                {head("latency", "99 %")}
                <th class="number">In flight</th>
                {head("restarts", "Restarts")}
                {head("cpu", "Processor")}
                {head("memory", "Memory")}
              </tr>
            </thead>
            <tbody>
              {sorted.map((plugin) => (
                <Row key={`${plugin.name} ${plugin.replica}`} plugin={plugin} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

function Row({ plugin }: { plugin: PluginStatus }) {
  const series = perPlugin.get(plugin.name);
  const curves = useMemo(
    () => [{ name: "calls", color: "accent" as const, values: series?.rate ?? [], fill: true }],
    [series],
  );
  const errors = series?.errorsPerSecond ?? 0;
  return (
    <tr>
      <td>
        <a href={to("plugin", plugin.name)}>{plugin.name}</a>
        {plugin.replica > 0 && <small> #{plugin.replica + 1}</small>}
      </td>
      <td title={plugin.status}>
        <State plugin={plugin} />
      </td>
      <td class="mono">{plugin.version || "–"}</td>
      <td class="number">{plugin.state === "running" ? age(uptime(plugin)) : "–"}</td>
      <td class="number">{rate(series?.perSecond ?? 0)}</td>
      <td class="sparkcell">
        {series && <Plot label={`Calls of ${plugin.name}`} curves={curves} format={rate} small height={22} />}
      </td>
      <td class={errors > 0 ? "number bad" : "number"}>{rate(errors)}</td>
      <td class="number">{duration(series?.latency(0.5))}</td>
      <td class="number">{duration(series?.latency(0.99))}</td>
      <td class="number">{plugin.inFlight}</td>
      <td class="number">{plugin.restarts}</td>
      <td class="number">{percent(load(plugin.name))}</td>
      <td class="number">{plugin.resources ? bytes(Number(plugin.resources.memoryBytes)) : "–"}</td>
    </tr>
  );
}
