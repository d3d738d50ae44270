/** The vectors of what a runtime and its plugins must agree on; their form is described in tests/vectors/README.md. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { create, fromJson, type JsonObject, toJson } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { RegisterPluginRequestSchema } from "../../gen/ts/plugins/v1/plugins_pb.js";
import { parseAddress } from "../src/dial.js";
import { ConfigError } from "../src/errors.js";
import * as limits from "../src/limits.js";
import { parseLaunchConfig } from "../src/launch.js";
import { written } from "../src/network/address.js";
import { filter, includes, isId, isPattern, matches } from "../src/pattern.js";
import { checkRegistration, isName, isVersion } from "../src/registration.js";
import { fromTimestamp, toTimestamp } from "../src/times.js";
import { BURST_SECONDS, LATE_FRAMES, YOUNG } from "../src/yamux/floods.js";
import { defaultConfig } from "../src/yamux/index.js";

type Text = string | { readonly prefix?: string; readonly repeat: string; readonly count: number };

/** Spells out the repetitions in a value of a vector file. */
function spelledOut(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(spelledOut);
  const { prefix = "", repeat, count = 0 } = value as { prefix?: string; repeat?: string | unknown[]; count?: number };
  if (typeof repeat === "string") return prefix + repeat.repeat(count);
  if (repeat) return Array.from({ length: count }, () => repeat.map(spelledOut)).flat();
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, spelledOut(item)]));
}

function load<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../../../tests/vectors/${name}.json`, import.meta.url), "utf8")) as T;
}

function textOf(text: Text): string {
  return typeof text === "string" ? text : (text.prefix ?? "") + text.repeat.repeat(text.count);
}

/** A name for a test: the text, or its beginning. */
function shown(text: Text): string {
  return JSON.stringify(textOf(text).slice(0, 100));
}

function all(texts: readonly Text[], expected: boolean, is: (text: string) => boolean): void {
  assert.ok(texts.length > 0);
  for (const text of texts) assert.equal(is(textOf(text)), expected, shown(text));
}

function isAccepted(check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (error instanceof ConfigError) return false;
    throw error;
  }
}

for (const [what, is] of [
  ["names", isName],
  ["versions", isVersion],
] as const) {
  const { valid, invalid } = load<Record<"valid" | "invalid", Text[]>>(what);
  test(`${what} that are valid`, () => all(valid, true, is));
  test(`${what} that are not`, () => all(invalid, false, is));
}

describe("patterns", () => {
  const vectors = load<{
    ids: Text[];
    not_ids: Text[];
    patterns: Text[];
    not_patterns: Text[];
    match: [string, string, boolean][];
    includes: [string, string, boolean][];
    filter: [string, string, string | null][];
  }>("patterns");

  test("ids", () => all(vectors.ids, true, isId));
  test("texts that are no ids", () => all(vectors.not_ids, false, isId));
  test("patterns", () => all(vectors.patterns, true, isPattern));
  test("texts that are no patterns", () => all(vectors.not_patterns, false, isPattern));
  for (const [pattern, id, expected] of vectors.match) {
    test(`${pattern} ${expected ? "matches" : "does not match"} ${shown(id)}`, () => {
      assert.equal(matches(pattern, id), expected);
    });
  }
  for (const [pattern, other, expected] of vectors.includes) {
    test(`${pattern} ${expected ? "includes" : "does not include"} ${other}`, () => {
      assert.equal(includes(pattern, other), expected);
    });
  }
  for (const [pattern, other, expected] of vectors.filter) {
    test(`${pattern} filtered with ${other}`, () => assert.equal(filter(pattern, other) ?? null, expected));
  }
});

describe("addresses", () => {
  const { valid, abstract, pipes, invalid, invalid_pipes } = load<{
    valid: [string, string][];
    abstract: [string, string][];
    pipes: [Text, Text][];
    invalid: Text[];
    invalid_pipes: Text[];
  }>("addresses");
  for (const [text, name] of valid) test(`${text} is ${name}`, () => assert.equal(parseAddress(text), name));
  for (const [text, path] of pipes.map((pair) => pair.map(textOf) as [string, string])) {
    test(`${text.slice(0, 40)} is ${path.slice(0, 40)}, on Windows`, () => {
      if (process.platform === "win32") assert.equal(parseAddress(text), path);
      else assert.throws(() => parseAddress(text), /only Windows/);
    });
  }
  test("texts that are no pipes", () => all(invalid_pipes, false, (text) => isAccepted(() => parseAddress(text))));
  for (const [text, name] of abstract) {
    test(`${text} is ${name}, on Linux`, () => {
      if (process.platform === "linux") assert.equal(parseAddress(text), name);
      else assert.throws(() => parseAddress(text), ConfigError);
    });
  }
  test("texts that are no addresses", () => all(invalid, false, (text) => isAccepted(() => parseAddress(text))));
});

describe("launch configurations", () => {
  interface Launch {
    readonly name: string;
    readonly timeout_ns: number;
    readonly read: number;
    readonly write: number;
    readonly socket: string;
    readonly terminal: boolean;
    readonly detached: boolean;
    readonly address?: string;
    readonly token?: string;
    readonly ca?: string;
  }
  const { valid, invalid } = load<{ valid: { json: string; launch: Launch }[]; invalid: Text[] }>("launch");
  for (const { json, launch } of valid) {
    test(json, () => {
      const { link, timeout, ...config } = parseLaunchConfig(json);
      const { timeout_ns, ...expected } = launch;
      const inherited = "readFd" in link ? { read: link.readFd, write: link.writeFd } : { read: -1, write: -1 };
      assert.deepEqual(
        {
          name: config.name,
          timeout,
          ...inherited,
          socket: "socket" in link ? link.socket : "",
          terminal: config.terminal,
          detached: config.detached,
          ...("token" in link && { address: written(link.address), token: link.token, ca: link.fingerprint }),
        },
        { ...expected, timeout: Math.min(Math.ceil(timeout_ns / 1e6), limits.MAX_TIMER) }, // as timers need it
      );
    });
  }
  test("texts that are none", () => all(invalid, false, (text) => isAccepted(() => parseLaunchConfig(text))));
});

describe("registrations", () => {
  const vectors = load<{ accepted: JsonObject[]; refused: [JsonObject, string][] }>("registration");
  const check = (request: JsonObject) => () =>
    checkRegistration(fromJson(RegisterPluginRequestSchema, spelledOut(request) as JsonObject));
  for (const request of vectors.accepted) {
    test(`${JSON.stringify(request)} is accepted`, () => check(request)());
  }
  for (const [request] of vectors.refused) {
    test(`${JSON.stringify(request)} is refused`, () => assert.throws(check(request), ConfigError));
  }
});

describe("times", () => {
  const vectors = load<{ unset: (string | null)[]; set: [string, number][]; sent_for_unset: string }>("times");
  const parse = (text: string) => fromJson(TimestampSchema, text);

  for (const text of vectors.unset) {
    test(`${text} is unset`, () => assert.equal(fromTimestamp(text === null ? undefined : parse(text)), undefined));
  }
  for (const [text, seconds] of vectors.set) {
    test(`${text} is ${seconds}, both ways`, () => {
      const date = fromTimestamp(parse(text));
      assert.equal(date && date.getTime() / 1000, seconds);
      assert.deepEqual(toTimestamp(date), create(TimestampSchema, { seconds: BigInt(seconds) }));
    });
  }
  test("what is sent for an unset time", () => {
    assert.equal(toJson(TimestampSchema, toTimestamp(undefined)), vectors.sent_for_unset);
  });
});

test("limits and times are those of all languages", () => {
  const file = new URL("../../../../proto/constants.json", import.meta.url);
  const { yamux, log, ...constants } = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  assert.deepEqual(
    {
      max_message_bytes: limits.MAX_MESSAGE,
      max_name_characters: limits.MAX_NAME,
      max_version_characters: limits.MAX_VERSION,
      max_pattern_characters: limits.MAX_PATTERN,
      max_services: limits.MAX_SERVICES,
      max_protocol_versions: limits.MAX_PROTOCOL_VERSIONS,
      max_json_schema_characters: limits.MAX_JSON_SCHEMA,
      max_message_type_characters: limits.MAX_MESSAGE_TYPE,
      max_list_characters: limits.MAX_LIST,
      max_instances: limits.MAX_INSTANCES,
      max_launch_config_bytes: limits.MAX_LAUNCH_CONFIG,
      max_log_text_characters: limits.MAX_LOG_TEXT,
      registration_timeout_seconds: limits.REGISTRATION_TIMEOUT / 1000,
      dial_timeout_seconds: limits.DIAL_TIMEOUT / 1000,
      first_redial_seconds: limits.FIRST_REDIAL / 1000,
      max_redial_seconds: limits.MAX_REDIAL / 1000,
      max_detached_redial_seconds: limits.MAX_DETACHED_REDIAL / 1000,
      plugin_drain_timeout_seconds: limits.PLUGIN_DRAIN_TIMEOUT / 1000,
      link_close_timeout_seconds: limits.LINK_CLOSE_TIMEOUT / 1000,
    },
    constants,
  );
  assert.deepEqual(
    {
      max_queued_records: limits.MAX_QUEUED_RECORDS,
      max_records_per_request: limits.MAX_RECORDS_PER_REQUEST,
      send_timeout_seconds: limits.LOG_SEND_TIMEOUT / 1000,
      resend_delay_seconds: limits.LOG_RESEND_DELAY / 1000,
      last_send_timeout_seconds: limits.LAST_LOG_SEND_TIMEOUT / 1000,
    },
    log,
  );
  assert.deepEqual(
    {
      accept_backlog: defaultConfig.acceptBacklog,
      max_streams: defaultConfig.maxStreams,
      keep_alive_interval_seconds: defaultConfig.keepAliveInterval / 1000,
      connection_write_timeout_seconds: defaultConfig.connectionWriteTimeout / 1000,
      stream_open_timeout_seconds: defaultConfig.streamOpenTimeout / 1000,
      stream_close_timeout_seconds: defaultConfig.streamCloseTimeout / 1000,
      stream_window_bytes: defaultConfig.streamWindowSize,
      max_stream_window_bytes: defaultConfig.maxStreamWindowSize,
      max_session_window_growth_bytes: defaultConfig.maxSessionWindowGrowth,
      max_link_memory_bytes: defaultConfig.maxLinkMemory,
      max_unregistered_memory_bytes: defaultConfig.maxUnregisteredMemory,
      max_unregistered_streams: defaultConfig.maxUnregisteredStreams,
      max_resets_per_second: defaultConfig.maxResets,
      max_idle_frames_per_second: defaultConfig.maxIdleFrames,
      flood_burst_seconds: BURST_SECONDS,
      flood_young_stream_seconds: YOUNG / 1000,
      flood_late_frames_per_reset: LATE_FRAMES,
    },
    yamux,
  );
});
