export const STDERR = 2;
export const LINK = 3;

/** The head of a data frame that opens a stream. */
export function frame(stream: number, length: number): Buffer {
  const head = Buffer.from([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32BE(stream, 4);
  head.writeUInt32BE(length, 8);
  return head;
}
