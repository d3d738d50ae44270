// One plugin: how it does, what it serves, and what may be done with it.

import { ConnectError } from "@connectrpc/connect";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { PluginStatus } from "#gen/plugmux/v1/inspect_pb";
import { Calls, Party } from "./calls";
import { inspect, management } from "./client";
import { Console } from "./console";
import { age, bytes, count, duration, percent, rate } from "./format";
import { Link } from "./link";
import { Events, Logs } from "./logs";
import { LatencyLegend, Legend, uptime } from "./overview";
import { Empty, mood, Panel, State, Tile, Words } from "./parts";
import { Plot } from "./plot";
import { go, to } from "./route";
import { KINDS, type Schema, schemaOf } from "./schema";
import { load, type Method, methodsOf, perPlugin, plugins, tick } from "./store";

export const TABS = ["overview", "call", "calls", "logs", "events", "link"] as const;

export function Plugin({ words }: { words: string[] }) {
  void tick.value;
  const [name = "", tab = "overview", ...rest] = words;
  const replicas = plugins.value.filter((plugin) => plugin.name === name);
  const plugin = replicas[0];
  if (!plugin)
    return (
      <>
        <h1>{name}</h1>
        <Panel title="There is no such plugin">
          <Empty>
            This runtime has no plugin of that name now. <a href={to()}>All plugins</a>
          </Empty>
        </Panel>
      </>
    );
  return (
    <>
      <Head plugin={plugin} replicas={replicas.length} />
      <nav class="tabs" aria-label="Parts of the plugin">
        {TABS.map((each) => (
          <a key={each} href={to("plugin", name, each)} aria-current={tab === each ? "page" : undefined}>
            {each[0]!.toUpperCase() + each.slice(1)}
          </a>
        ))}
      </nav>
      {tab === "overview" && <About plugin={plugin} />}
      {tab === "call" && <Methods plugin={plugin} words={rest} />}
      {tab === "calls" && <Calls plugin={name} />}
      {tab === "logs" && <Logs plugin={name} />}
      {tab === "events" && <Events plugin={name} />}
      {tab === "link" && <Link plugin={name} />}
    </>
  );
}

function Head({ plugin, replicas }: { plugin: PluginStatus; replicas: number }) {
  const [doing, setDoing] = useState("");
  const [problem, setProblem] = useState("");
  const name = plugin.name;
  const act = (what: string, work: () => Promise<unknown>) => async () => {
    setDoing(what);
    setProblem("");
    try {
      await work();
    } catch (error) {
      setProblem(ConnectError.from(error).rawMessage);
    } finally {
      setDoing("");
    }
  };
  const disabled = plugin.state === "disabled" || plugin.state === "stopped" || plugin.state === "gave up";
  return (
    <div class="head">
      <div>
        <h1>{name}</h1>
        <State plugin={plugin} />
        {plugin.version && <span class="mono muted">{plugin.version}</span>}
        {plugin.pid > 0 && <span class="mono muted">pid {plugin.pid}</span>}
        {replicas > 1 && <span class="tag">{replicas} replicas</span>}
        {plugin.external && <span class="tag">started by itself</span>}
      </div>
      <div class="actions" role="group" aria-label="Manage the plugin">
        <button type="button" disabled={!!doing} onClick={act("Restarting", () => management.restartPlugin({ name }))}>
          Restart
        </button>
        <button
          type="button"
          disabled={!!doing || disabled}
          title="Start its command once more, and let the new process take over while calls go on"
          onClick={act("Replacing", () => inspect.replacePlugin({ name }))}
        >
          Replace
        </button>
        {disabled ? (
          <button type="button" disabled={!!doing} onClick={act("Enabling", () => management.enablePlugin({ name }))}>
            Enable
          </button>
        ) : (
          <button type="button" disabled={!!doing} onClick={act("Disabling", () => management.disablePlugin({ name }))}>
            Disable
          </button>
        )}
      </div>
      {doing && <p class="busy">{doing} …</p>}
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {plugin.status && (
        <p class={mood(plugin) === "bad" ? "status bad" : "status"}>
          <Words text={plugin.status} />
          {mood(plugin) === "bad" && (
            <>
              {" · "}
              <a href={to("plugin", name, "logs")}>what it printed</a>
            </>
          )}
        </p>
      )}
    </div>
  );
}

function About({ plugin }: { plugin: PluginStatus }) {
  const series = perPlugin.get(plugin.name);
  const curves = useMemo(
    () => ({
      rate: [
        { name: "calls", color: "accent" as const, values: series?.rate ?? [], fill: true },
        { name: "errors", color: "bad" as const, values: series?.errors ?? [] },
      ],
      latency: [
        { name: "99 %", color: "second" as const, values: series?.slowest ?? [] },
        { name: "median", color: "accent" as const, values: series?.median ?? [] },
      ],
    }),
    [series],
  );
  const errors = series?.errorsPerSecond ?? 0;
  return (
    <>
      <dl class="tiles">
        <Tile
          name="Uptime"
          value={plugin.state === "running" ? age(uptime(plugin)) : "–"}
          hint={`${plugin.restarts} restarts`}
        />
        <Tile
          name="Calls per second"
          value={rate(series?.perSecond ?? 0)}
          hint={`${count(Number(plugin.calls))} in all`}
        />
        <Tile
          name="Errors per second"
          value={rate(errors)}
          hint={`${count(series?.now.errors ?? 0)} seen`}
          bad={errors > 0}
        />
        <Tile name="Latency" value={duration(series?.latency(0.5))} hint={`99 %: ${duration(series?.latency(0.99))}`} />
        <Tile name="In flight" value={String(plugin.inFlight)} hint={`${plugin.streams} streams`} />
        <Tile
          name="Processor"
          value={percent(load(plugin.name))}
          hint={
            plugin.resources
              ? `${bytes(Number(plugin.resources.memoryBytes))}, ${plugin.resources.threads} threads`
              : "not known"
          }
        />
      </dl>
      <div class="plots">
        <Panel
          title="Calls and errors per second"
          extra={<Legend names={["calls", "errors"]} colors={["accent", "bad"]} />}
        >
          <Plot label="Calls per second" curves={curves.rate} format={rate} />
        </Panel>
        <Panel title="Latency" extra={<LatencyLegend series={series} />}>
          <Plot label="Latency" curves={curves.latency} format={duration} />
        </Panel>
      </div>
      <MethodTable plugin={plugin.name} />
      <Panel title="Services">
        {plugin.services.length === 0 ? (
          <Empty>It serves no RPC services.</Empty>
        ) : (
          <ul class="services">
            {plugin.services.map((service) => (
              <li key={service}>
                <a class="mono" href={to("plugin", plugin.name, "call", service)}>
                  {service}
                </a>
              </li>
            ))}
          </ul>
        )}
      </Panel>
    </>
  );
}

function MethodTable({ plugin }: { plugin: string }) {
  const methods = methodsOf(plugin).sort((one, other) => one.name.localeCompare(other.name));
  return (
    <Panel title="Methods">
      {methods.length === 0 ? (
        <Empty>Nothing has been called since the page was opened.</Empty>
      ) : (
        <div class="scroll" tabIndex={0} role="region" aria-label="Methods">
          <table>
            <thead>
              <tr>
                <th>Method</th>
                <th>From</th>
                <th>To</th>
                <th class="number">Calls</th>
                <th class="number">Calls/s</th>
                <th>
                  <span class="unseen">Calls per second over time</span>
                </th>
                <th>
                  <span class="unseen">Latency over time</span>
                </th>
                <th class="number">Median</th>
                <th class="number">99 %</th>
                <th class="number">In flight</th>
                <th class="number">Errors</th>
              </tr>
            </thead>
            <tbody>
              {methods.map((method) => (
                <MethodRow key={`${method.caller} ${method.callee} ${method.name}`} method={method} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

function MethodRow({ method }: { method: Method }) {
  const { series } = method;
  const curves = useMemo(
    () => ({
      rate: [{ name: "calls", color: "accent" as const, values: series.rate, fill: true }],
      latency: [{ name: "99 %", color: "second" as const, values: series.slowest }],
    }),
    [series],
  );
  const codes = Object.entries(method.codes);
  return (
    <tr>
      <td class="mono">{method.name}</td>
      <td>
        <Party name={method.caller} />
      </td>
      <td>
        <Party name={method.callee} />
      </td>
      <td class="number">{count(series.now.calls)}</td>
      <td class="number">{rate(series.perSecond)}</td>
      <td class="sparkcell">
        <Plot label={`Calls of ${method.name}`} curves={curves.rate} format={rate} small height={22} />
      </td>
      <td class="sparkcell">
        <Plot label={`Latency of ${method.name}`} curves={curves.latency} format={duration} small height={22} />
      </td>
      <td class="number">{duration(series.latency(0.5))}</td>
      <td class="number">{duration(series.latency(0.99))}</td>
      <td class="number">{series.now.inFlight}</td>
      <td class={codes.length ? "number bad" : "number"}>
        {codes.length ? codes.map(([code, errors]) => `${code} ${count(errors)}`).join(", ") : "0"}
      </td>
    </tr>
  );
}

function Methods({ plugin, words }: { plugin: PluginStatus; words: string[] }) {
  const [service = plugin.services[0] ?? "", chosen] = words;
  const [schema, setSchema] = useState<Schema>();
  const [problem, setProblem] = useState("");
  const running = plugin.state === "running";
  useEffect(() => {
    let current = true;
    setSchema(undefined);
    setProblem("");
    if (service && running) {
      schemaOf(plugin.name, service, `${plugin.version} ${plugin.pid}`).then(
        (found) => current && setSchema(found),
        (error: unknown) => current && setProblem(ConnectError.from(error).rawMessage),
      );
    }
    return () => {
      current = false;
    };
  }, [plugin.name, service, plugin.version, plugin.pid, running]);
  if (!service) return <Empty>It serves no RPC services.</Empty>;
  const method = schema?.service.methods.find((each) => each.name === chosen) ?? schema?.service.methods[0];
  return (
    <div class="methods">
      <Panel title="Methods">
        <label class="service">
          Service
          <select value={service} onChange={(event) => go("plugin", plugin.name, "call", event.currentTarget.value)}>
            {plugin.services.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        {problem && <Empty>{problem}</Empty>}
        {!problem && !running && !schema && <Empty>It does not run.</Empty>}
        {schema && (
          <ul class="choices">
            {schema.service.methods.map((each) => (
              <li key={each.name}>
                <a
                  href={to("plugin", plugin.name, "call", service, each.name)}
                  aria-current={each === method ? "true" : undefined}
                >
                  {each.name}
                  <small>{KINDS[each.methodKind]}</small>
                </a>
              </li>
            ))}
          </ul>
        )}
      </Panel>
      {schema && method && (
        <Console key={`${service}/${method.name}`} plugin={plugin.name} schema={schema} method={method} />
      )}
    </div>
  );
}
