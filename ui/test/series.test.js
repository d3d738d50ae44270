// The numbers behind the plots: what is counted, and what is told of a sample.

import assert from "node:assert/strict";
import { resolve } from "node:path";
import { after, test } from "node:test";
import { createServer } from "vite";

const vite = await createServer({
  root: resolve(import.meta.dirname, ".."),
  configFile: false,
  logLevel: "error",
  appType: "custom",
  server: { middlewareMode: true, watch: null, ws: false },
});
after(() => vite.close());
const { noCalls, oneOf, quantile, Series } = await vite.ssrLoadModule("/src/series.ts");

const sums = (calls, latency, errors = 0) => ({ ...noCalls(), calls, errors, latency });

test("rates are of every call, latencies of those that were timed", () => {
  const series = new Series();
  series.add(sums(0, []), 0);
  series.add(sums(6000, [0, 0, 1000], 30), 1);
  assert.deepEqual([series.rate.at(-1), series.errors.at(-1)], [6000, 30]);
  assert.equal(series.timedOneOf, 6);
  assert.equal(series.latency(0.5), quantile([0, 0, 1], 0.5));
});

test("nothing is told of a sample where every call was timed, and where there was none", () => {
  const series = new Series();
  series.add(sums(0, []), 0);
  assert.equal(series.timedOneOf, 1);
  series.add(sums(40, [40]), 1);
  assert.equal(series.timedOneOf, 1);
});

test("a share is told as one of so many", () => {
  assert.deepEqual([oneOf(100, 5200), oneOf(3, 4), oneOf(0, 0), oneOf(0, 7)], [52, 1, 1, 7]);
});
