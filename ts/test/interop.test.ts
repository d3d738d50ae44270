/** Against other people's yamux, hashicorp's in Go and the one of this repository in Python, in both roles. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { callMany, Mode, serve, type Tally } from "./exchange.js";
import { buildGoPeer, Peer, pythonPeer } from "./peers.js";

const MIB = 1024 * 1024;
const WINDOWS = {
  "the wire's windows": [{ maxStreamWindowSize: MIB / 4 }, []],
  "growing windows": [{}, []],
  "large windows": [{ streamWindowSize: MIB }, [`-window=${MIB}`]],
} as const;
const ALL = Boolean(process.env["PLUGMUX_INTEROP_PEERS"]);
/** The bytes of all streams together, by their number; some of each are larger than a window. */
const TOTAL = ALL ? { 1: 8 * MIB, 100: 24 * MIB, 1000: 16 * MIB } : { 1: 8 * MIB, 100: 12 * MIB, 1000: 8 * MIB };
/** `make interop` has a thousand streams in all cases, and this suite with Go and the windows that a link has by itself. */
const countsWith = (windows: string, language: string) =>
  ALL || (windows === "growing windows" && language === "Go") ? ([1, 100, 1000] as const) : ([1, 100] as const);
const ROLES = ["client", "server"] as const;

let go: ReturnType<typeof buildGoPeer>;
before(() => {
  go = buildGoPeer();
});
after(() => go.remove());

const PEERS = {
  Go: () => [go.program],
  Python: () => pythonPeer(),
} as const;

for (const [language, command] of Object.entries(PEERS)) {
  for (const role of ROLES) {
    for (const [windows, [config, options]] of Object.entries(WINDOWS)) {
      const counts = countsWith(windows, language);
      test(`as the ${role}, with ${windows}: ${counts.join(", then ")} streams each way with ${language}`, async () => {
        const peer = Peer.start([...command(), ...options], role, config);
        serve(peer.mux);
        for (const count of counts) {
          const [ours, told] = await Promise.all([
            callMany(peer.mux, count, TOTAL[count], 8 * MIB, [Mode.plain, Mode.halfClose, Mode.abandon]),
            peer.tell(`call ${count} ${TOTAL[count]} ${8 * MIB} ${count}`) as Promise<unknown>,
          ]);
          const { ok, reset, errors } = told as Tally;
          assert.deepEqual(ours, { ok: count, reset: 0, errors: [] });
          assert.deepEqual([ok + reset, errors ?? []], [count, []]);
        }
        await peer.stop();
      });
    }
  }
}

for (const [language, command] of Object.entries(PEERS)) {
  for (const role of ROLES) {
    describe(`as the ${role} of yamux in ${language}`, () => {
      test("both sides measure the round trip, and after the peer's go-away nothing can be opened", async () => {
        const peer = Peer.start([...command()], role);
        assert.ok((await peer.mux.ping()) > 0);
        assert.equal((await peer.tell("ping"))["error"], "");
        await peer.tell("goaway");
        await peer.mux.ping();
        assert.throws(() => peer.mux.open(), /go-away/);
        await peer.stop();
      });

      test("after our go-away the peer's streams are reset", async () => {
        const peer = Peer.start([...command()], role);
        serve(peer.mux);
        peer.mux.goAway();
        await peer.mux.ping();
        const { ok, errors } = (await peer.tell("call 1 10 10 1")) as unknown as Tally;
        assert.deepEqual([ok, errors.length], [0, 1]);
        await peer.stop();
      });

      test("more streams than the peer's backlog are held back, not refused", async () => {
        const peer = Peer.start([...command(), "-accept=false", "-backlog=256"], role);
        const calls = callMany(peer.mux, 400, 40_000, 1000, [Mode.plain]);
        await peer.mux.ping();
        await peer.tell("accept");
        assert.deepEqual(await calls, { ok: 400, reset: 0, errors: [] });
        await peer.stop();
      });
    });
  }
}

for (const role of ROLES) {
  test(`as the ${role}: a bare end of the connection, which is how Go closes, ends the session`, async () => {
    const peer = Peer.start([go.program], role);
    await peer.tell("close");
    assert.match((await peer.mux.closed)?.message ?? "", /the peer closed the connection/);
    await peer.stop();
  });
}
