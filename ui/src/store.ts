// What the page knows of the runtime: it follows the reports, the events and the logs, and comes back when they end.

import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { batch, signal } from "@preact/signals";
import type { CallRecord, HostStatus, MethodCalls, PluginStatus, WatchResponse } from "#gen/plugmux/v1/inspect_pb";
import type { EventsResponse, LogsResponse } from "#gen/plugmux/v1/runtime_pb";
import { inspect, inspector, runtime } from "./client";
import { addTo, noCalls, oneOf, push, Series, type Sums, sum } from "./series";

export const INTERVAL_MS = 1000;
const MAX_CALLS = 500;
const MAX_LINES = 3000;
const MAX_EVENTS = 1000;

export interface Method {
  caller: string;
  callee: string;
  name: string;
  codes: Record<string, number>;
  series: Series;
}

export interface Call {
  number: number;
  time: number;
  record: CallRecord;
}

export interface Line {
  number: number;
  time: number;
  line: LogsResponse;
}

export interface Happening {
  number: number;
  time: number;
  event: EventsResponse;
}

/** Counts the reports: whoever reads it is drawn again at each. */
export const tick = signal(0);
export const connection = signal<"connecting" | "open" | "lost">("connecting");
export const problem = signal("");
export const plugins = signal<PluginStatus[]>([]);
export const host = signal<HostStatus | undefined>(undefined);
export const calls = signal<Call[]>([]);
export const lines = signal<Line[]>([]);
export const events = signal<Happening[]>([]);
/** Of the calls of the last reports, one of so many is among `calls`. */
export const listedOneOf = signal(1);
export const about = signal({ address: "", commands: [] as string[] });

export const total = new Series();
export const methods = new Map<string, Method>();
export const perPlugin = new Map<string, Series>();
export const processor = new Map<string, number[]>();

let lastReport = 0;
let recentCalls: { listed: number; ended: number }[] = [];
const usedBefore = new Map<string, { pid: number; used: number; at: number }>();

/** How much of one processor a process has used lately; "" is the host. */
export const load = (plugin: string): number | undefined => processor.get(plugin)?.at(-1);

export function methodsOf(plugin: string): Method[] {
  return [...methods.values()].filter((method) => method.callee === plugin || method.caller === plugin);
}

export async function follow(): Promise<never> {
  inspector.about({}).then(
    (answer) => (about.value = { address: answer.address, commands: answer.commands }),
    () => {},
  );
  return await Promise.race([again(watch), again(followEvents), again(followLogs)]);
}

async function again(work: () => Promise<void>): Promise<never> {
  for (let pause = 250; ; pause = Math.min(pause * 2, 4000)) {
    const began = performance.now();
    try {
      await work();
    } catch (error) {
      problem.value = ConnectError.from(error).rawMessage;
      if (ConnectError.from(error).code === Code.PermissionDenied) pause = 4000;
    }
    connection.value = "lost";
    if (performance.now() - began > 5000) pause = 250;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

async function watch(): Promise<void> {
  const interval = { seconds: 0n, nanos: INTERVAL_MS * 1e6 };
  lastReport = 0;
  for await (const report of inspect.watch({ interval, maxCalls: MAX_CALLS })) take(report);
}

function take(report: WatchResponse): void {
  const now = milliseconds(report.time);
  const seconds = lastReport ? (now - lastReport) / 1000 : 0;
  lastReport = now;
  batch(() => {
    connection.value = "open";
    problem.value = "";
    host.value = report.host;
    plugins.value = report.plugins;
    for (const method of report.methods) note(method);
    addReport(report, seconds);
    noteListed(report);
    if (report.calls.length) {
      const told = report.calls.map((record) => ({
        number: Number(record.number),
        time: milliseconds(record.time),
        record,
      }));
      calls.value = [...calls.value, ...told].slice(-MAX_CALLS);
    }
    tick.value += 1;
  });
}

function noteListed(report: WatchResponse): void {
  const listed = report.calls.length;
  recentCalls = [...recentCalls.slice(-9), { listed, ended: listed + Number(report.callsLeftOut) }];
  listedOneOf.value = oneOf(sum(recentCalls.map((each) => each.listed)), sum(recentCalls.map((each) => each.ended)));
}

function note(told: MethodCalls): void {
  const key = `${told.caller}\n${told.callee}\n${told.method}`;
  let method = methods.get(key);
  if (!method) {
    method = { caller: told.caller, callee: told.callee, name: told.method, codes: {}, series: new Series() };
    if (lastReport) method.series.add(noCalls(), 0);
    methods.set(key, method);
  }
  method.codes = Object.fromEntries(Object.entries(told.codes).map(([code, errors]) => [code, Number(errors)]));
  method.series.now = {
    calls: Number(told.calls),
    errors: Number(told.errors),
    inFlight: told.inFlight,
    seconds: told.seconds,
    requestBytes: Number(told.requestBytes),
    responseBytes: Number(told.responseBytes),
    latency: told.latency.map(Number),
  };
}

function addReport(report: WatchResponse, seconds: number): void {
  const all = noCalls();
  const sums = new Map<string, Sums>(report.plugins.map((plugin) => [plugin.name, noCalls()]));
  for (const method of methods.values()) {
    method.series.add(method.series.now, seconds);
    addTo(all, method.series.now);
    const plugin = sums.get(method.callee);
    if (plugin) addTo(plugin, method.series.now);
  }
  total.add(all, seconds);
  for (const [name, now] of sums) {
    let series = perPlugin.get(name);
    if (!series) perPlugin.set(name, (series = new Series()));
    series.add(now, seconds);
  }
  for (const name of perPlugin.keys()) if (!sums.has(name)) perPlugin.delete(name);
  noteProcessor("", report.host?.resources?.cpuSeconds, report.host?.pid);
  for (const plugin of report.plugins) noteProcessor(plugin.name, plugin.resources?.cpuSeconds, plugin.pid);
}

/** The runtime reads what processes use once a second, so that every other report repeats it. */
function noteProcessor(name: string, used: number | undefined, pid: number | undefined): void {
  const values = processor.get(name) ?? [];
  processor.set(name, values);
  const before = usedBefore.get(name);
  if (used === undefined || !pid) {
    values.length = 0;
    usedBefore.delete(name);
  } else if (before?.pid !== pid) {
    values.length = 0;
    usedBefore.set(name, { pid, used, at: lastReport });
  } else if (used !== before.used || lastReport - before.at > 2000) {
    push(values, ((used - before.used) * 1000) / (lastReport - before.at));
    usedBefore.set(name, { pid, used, at: lastReport });
  } else {
    push(values, values.at(-1) ?? 0);
  }
}

async function followEvents(): Promise<void> {
  for await (const event of runtime.events({})) {
    if (event.before === event.state && events.value.some((known) => same(known.event, event))) continue;
    const happening = { number: (events.value.at(-1)?.number ?? 0) + 1, time: milliseconds(event.time), event };
    events.value = [...events.value, happening].slice(-MAX_EVENTS);
  }
}

const same = (one: EventsResponse, other: EventsResponse) =>
  one.plugin === other.plugin && one.state === other.state && one.health === other.health && one.kind === other.kind;

async function followLogs(): Promise<void> {
  let waiting: LogsResponse[] = [];
  lines.value = [];
  const flush = () => {
    let number = lines.value.at(-1)?.number ?? 0;
    const more = waiting.map((line) => ({ number: ++number, time: milliseconds(line.time), line }));
    lines.value = [...lines.value, ...more].slice(-MAX_LINES);
    waiting = [];
  };
  for await (const line of runtime.logs({ name: "", follow: true })) {
    if (waiting.push(line) === 1) requestAnimationFrame(flush);
    if (waiting.length > MAX_LINES) waiting.shift();
  }
}

export function milliseconds(time: Timestamp | undefined): number {
  return time ? timestampMs(time) : 0;
}
