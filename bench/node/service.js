// The benchmark's service for Connect: that of the peer and that of our plugin.

export const service = {
  echo: ({ payload }) => ({ payload }),
  async *download({ count, size }) {
    const payload = new Uint8Array(size);
    for (let n = 0; n < count; n++) yield { payload };
  },
  async upload(chunks) {
    let count = 0;
    let bytes = 0;
    for await (const { payload } of chunks) {
      count++;
      bytes += payload.length;
    }
    return { count, bytes: BigInt(bytes) };
  },
};
