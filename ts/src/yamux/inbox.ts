/** Chunks below this size are joined, because each Buffer costs a hundred bytes or more. */
const SMALL_PIECE = 2 * 1024;

/** The size of the buffers that small chunks are copied into. */
const JOINED_SIZE = 8 * 1024;

/** Bytes that have arrived on a stream before its reader has asked for them. */
export class Inbox {
  readonly #pieces: Buffer[] = [];
  /** The last buffer while small chunks may still be appended to it, and how much of it is filled. */
  #joined: Buffer | undefined;
  #filled = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  put(data: Buffer): void {
    this.#size += data.length;
    if (data.length < SMALL_PIECE && this.#size > data.length) return this.#join(data);
    this.#closeJoined();
    this.#pieces.push(compact(data));
  }

  /** Removes and returns the first chunk; undefined if there is none. */
  take(): Buffer | undefined {
    if (this.#pieces.length === 0) this.#closeJoined();
    const data = this.#pieces.shift();
    this.#size -= data?.length ?? 0;
    return data;
  }

  #join(data: Buffer): void {
    if (this.#joined && this.#filled + data.length > JOINED_SIZE) this.#closeJoined();
    this.#joined ??= Buffer.allocUnsafeSlow(JOINED_SIZE);
    this.#filled += data.copy(this.#joined, this.#filled);
  }

  #closeJoined(): void {
    if (this.#joined) this.#pieces.push(this.#joined.subarray(0, this.#filled));
    this.#joined = undefined;
    this.#filled = 0;
  }
}

/** Copies data that would keep a much larger buffer alive. */
function compact(data: Buffer): Buffer {
  return data.length * 2 < data.buffer.byteLength ? Buffer.from(data) : data;
}
