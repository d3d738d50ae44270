import { Duplex } from "node:stream";

/** Two ends of a connection in memory. What is written at one is read at the other, in pieces of at most `slice` bytes. */
export function connectionPair(slice = Number.POSITIVE_INFINITY): [Duplex, Duplex] {
  const ends: Duplex[] = [];
  const end = (other: () => Duplex | undefined): Duplex =>
    new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, callback) {
        const peer = other();
        for (let start = 0; start < chunk.length; start += slice) {
          peer?.push(chunk.subarray(start, Math.min(start + slice, chunk.length)));
        }
        callback();
      },
      final(callback) {
        other()?.push(null);
        callback();
      },
      destroy(error, callback) {
        const peer = other();
        if (peer && !peer.destroyed && !peer.readableEnded) peer.push(null);
        callback(error);
      },
    });
  const near = end(() => ends[1]);
  const far = end(() => ends[0]);
  ends.push(near, far);
  return [near, far];
}
