import { ConfigError } from "../errors.js";
import { MAX_TIMER } from "../limits.js";
import { INITIAL_WINDOW, MAX_UINT32 } from "./frame.js";

/** The settings of a session. Sizes are in bytes, times in milliseconds; the defaults are those that peers assume. */
export interface Config {
  /**
   * Streams that may wait to be accepted; further ones are reset. The same number limits how many of our own streams
   * wait for the peer's ACK, because peers have the same backlog.
   */
  readonly acceptBacklog: number;
  /** Streams that the peer may have open at once; further ones are reset. */
  readonly maxStreams: number;
  /** Whether to ping a silent peer, and to end the session when it does not answer. */
  readonly enableKeepAlive: boolean;
  /** How long the peer must be silent before a ping is sent. */
  readonly keepAliveInterval: number;
  /**
   * How long the connection may take no byte, and a ping may stay unanswered, before the session ends; 0 means no limit.
   * A peer on the same machine is not dead because it is slow: its end is seen at once, so `localConfig` sets no limit.
   */
  readonly connectionWriteTimeout: number;
  /** How long the peer may take to acknowledge a stream, which is then reset; 0 means no limit. */
  readonly streamOpenTimeout: number;
  /** How long the peer may take to end its side of a stream closed here, which is then reset; 0 means no limit. */
  readonly streamCloseTimeout: number;
  /** The initial receive window of a stream. One above 256 KiB is announced to the peer. */
  readonly streamWindowSize: number;
  /** The largest receive window of a stream; it grows while its reader keeps up. */
  readonly maxStreamWindowSize: number;
  /** The most bytes by which all windows of a session together may grow; those beyond 4 MiB leave half of it to others. */
  readonly maxSessionWindowGrowth: number;
  /**
   * Bytes that may be held of what has come and nobody has taken, over all streams: unfinished requests, what a program
   * does not read, and 4 KiB for each stream that the peer has open. From three quarters of it on most streams get no more
   * credit; at the limit, a stream that needs more is reset. It should be 16 times the largest message at least.
   */
  readonly maxLinkMemory: number;
  /** The same limit before the plugin at either end of a link has registered. */
  readonly maxUnregisteredMemory: number;
  /** The most streams that the peer may have open before then. */
  readonly maxUnregisteredStreams: number;
  /**
   * Streams a second that the peer may open for nothing before the session ends: that it resets within a second, ends
   * without a byte, or opens beyond what it may have. Ten seconds' worth may come at once; 0 means no limit.
   */
  readonly maxResets: number;
  /**
   * Frames a second that may come and change nothing (pings, empty data, frames of streams that have ended) before the
   * session ends. Ten seconds' worth may come at once; 0 means no limit.
   */
  readonly maxIdleFrames: number;
}

export const defaultConfig: Config = {
  acceptBacklog: 256,
  maxStreams: 16_384,
  enableKeepAlive: true,
  keepAliveInterval: 30_000,
  connectionWriteTimeout: 10_000,
  streamOpenTimeout: 75_000,
  streamCloseTimeout: 300_000,
  streamWindowSize: INITIAL_WINDOW,
  maxStreamWindowSize: 16 * 1024 * 1024,
  maxSessionWindowGrowth: 32 * 1024 * 1024,
  maxLinkMemory: 64 * 1024 * 1024,
  maxUnregisteredMemory: 1024 * 1024,
  maxUnregisteredStreams: 32,
  maxResets: 1_000,
  maxIdleFrames: 2_000,
};

/**
 * What differs for a peer on the same machine. It may be stopped for as long as anybody likes, by a debugger or a laptop
 * that sleeps, and goes on afterwards; the kernel tells when it has died.
 */
export const localConfig: Partial<Config> = { enableKeepAlive: false, connectionWriteTimeout: 0 };

/** What differs for a peer on another machine, which a network may cut off without a word: it is missed within 20 s. */
export const remoteConfig: Partial<Config> = { keepAliveInterval: 10_000 };

const RANGES: Readonly<Record<Exclude<keyof Config, "enableKeepAlive">, readonly [least: number, most: number]>> = {
  acceptBacklog: [1, MAX_UINT32],
  maxStreams: [1, MAX_UINT32],
  keepAliveInterval: [1, MAX_TIMER],
  connectionWriteTimeout: [0, MAX_TIMER],
  streamOpenTimeout: [0, MAX_TIMER],
  streamCloseTimeout: [0, MAX_TIMER],
  streamWindowSize: [INITIAL_WINDOW, MAX_UINT32],
  maxStreamWindowSize: [INITIAL_WINDOW, MAX_UINT32],
  maxSessionWindowGrowth: [0, Number.MAX_SAFE_INTEGER],
  maxLinkMemory: [INITIAL_WINDOW, Number.MAX_SAFE_INTEGER],
  maxUnregisteredMemory: [INITIAL_WINDOW, Number.MAX_SAFE_INTEGER],
  maxUnregisteredStreams: [1, MAX_UINT32],
  maxResets: [0, MAX_UINT32],
  maxIdleFrames: [0, MAX_UINT32],
};

/**
 * The defaults with some of them replaced.
 *
 * @throws ConfigError when a value is out of its range.
 */
export function configure(changes: Partial<Config> = {}): Config {
  const config = { ...defaultConfig, ...changes };
  for (const name of Object.keys(RANGES) as (keyof typeof RANGES)[]) {
    const [least, most] = RANGES[name];
    const value = config[name];
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      throw new ConfigError(`yamux setting ${name} is ${value}; it must be a whole number from ${least} to ${most}`);
    }
  }
  if (config.streamWindowSize > config.maxStreamWindowSize) {
    throw new ConfigError("yamux setting streamWindowSize is above maxStreamWindowSize");
  }
  return config;
}
