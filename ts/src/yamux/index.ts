/** yamux over any node stream: `new Mux({ role, input, output })`. */
export { type Clock, systemClock } from "./clock.js";
export { type Config, configure, defaultConfig, localConfig, remoteConfig } from "./config.js";
export type { Event } from "./events.js";
export { Mux, type MuxOptions } from "./mux.js";
export { type Role, Session } from "./session.js";
export type { StreamState } from "./state.js";
export { MuxStream } from "./stream.js";
