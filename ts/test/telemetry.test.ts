/** Metrics of calls, read from the SDK's in-memory exporter. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import {
  AggregationTemporality,
  type DataPoint,
  type Histogram,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { ResolverService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { InspectService } from "../../gen/ts/plugmux/v1/inspect_pb.js";
import { clientMetrics, serverMetrics } from "../src/telemetry.js";

const METHOD = "resolver.v1.ResolverService/GetSecrets";

function collector() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 30 });
  const provider = new MeterProvider({ readers: [reader] });
  return {
    meter: provider.getMeter("test"),
    async points<Value>(name: string): Promise<DataPoint<Value>[]> {
      exporter.reset();
      await reader.forceFlush();
      const found = exporter.getMetrics().flatMap((each) => each.scopeMetrics.flatMap((scope) => scope.metrics));
      const points = found.find((metric) => metric.descriptor.name === name)?.dataPoints ?? [];
      return points as DataPoint<Value>[];
    },
    stop: () => provider.shutdown(),
  };
}

function served(meter: ReturnType<typeof collector>["meter"], now: () => number) {
  const transport = createRouterTransport(
    (router) => {
      router.service(ResolverService, {
        getSecrets({ pattern }) {
          if (pattern === "missing") throw new ConnectError("private", Code.NotFound);
          return {};
        },
      });
      router.service(InspectService, {
        async *watch() {
          for (let count = 0; count < 3; count++) yield {};
        },
      });
    },
    {
      router: { interceptors: [serverMetrics({ meter, now })] },
      transport: { interceptors: [clientMetrics({ meter, now })] },
    },
  );
  return { secrets: createClient(ResolverService, transport), events: createClient(InspectService, transport) };
}

describe("metrics", () => {
  test("calls are counted and timed on both ends", async () => {
    const { meter, points, stop } = collector();
    let milliseconds = 0;
    const { secrets, events } = served(meter, () => (milliseconds += 1000));
    await secrets.getSecrets({ pattern: "a" });
    await assert.rejects(async () => secrets.getSecrets({ pattern: "missing" }));
    let received = 0;
    for await (const _ of events.watch({})) received++;
    assert.equal(received, 3);
    const leaving = new AbortController();
    for await (const _ of events.watch({}, { signal: leaving.signal })) break;
    leaving.abort();

    const system = { "rpc.system.name": "connectrpc" };
    const streamed = `${InspectService.typeName}/Watch`;
    for (const [end, seconds] of [
      ["client", 3],
      ["server", 1],
    ] as const) {
      const found = await points<Histogram>(`rpc.${end}.call.duration`);
      const failed = {
        "rpc.response.status_code": "not_found",
        ...(end === "client" ? { "error.type": "not_found" } : {}),
      };
      const [passed, refused, whole, left] = found;
      assert.deepEqual(passed?.attributes, { ...system, "rpc.method": METHOD });
      assert.equal(passed?.value.count, 1);
      assert.equal(passed?.value.sum, seconds);
      assert.deepEqual(refused?.attributes, { ...system, "rpc.method": METHOD, ...failed });
      assert.deepEqual(whole?.attributes, { ...system, "rpc.method": streamed });
      if (end === "client") assert.equal(left?.attributes["rpc.response.status_code"], "canceled");
      assert.equal(passed?.value.buckets.boundaries[0], 0.0001);
      const active = await points<number>(`plugmux.${end}.active_calls`);
      assert.deepEqual(new Set(active.map((point) => point.value)), new Set([0]));
    }
    await stop();
  });
});
