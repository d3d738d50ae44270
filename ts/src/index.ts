/** Write a plugin: `await plugin({ version: "v1.0.0", services: (router) => router.service(SomeService, { ... }) })`. */
export type { Servable, StreamHandler } from "./app.js";
export { type Configurable, Settings, type SettingsOptions } from "./configuration.js";
export * from "./errors.js";
export type { Host } from "./host.js";
export { Instances, type InstancesOptions } from "./instances.js";
export type { Fields, Logger } from "./log.js";
export { Plugin, type PluginOptions } from "./plugin.js";
export type { TlsOptions } from "./network/credentials.js";
export { plugin } from "./program.js";
export type { Lent } from "./references.js";
export type { RemoteObject } from "./remote.js";
export type { Config as MuxConfig } from "./yamux/config.js";
export { fromEnvelope, type Secret, type SecretsProvider } from "./secrets.js";
