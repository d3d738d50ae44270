/** Write a plugin: `await plugin({ version: "v1.0.0", services: (router) => router.service(SomeService, { ... }) })`. */
export * from "./errors.js";
export type { Fields, Logger } from "./log.js";
export { Plugin, type Host, type PluginOptions } from "./plugin.js";
export { Settings, type SettingsOptions } from "./configuration.js";
export { plugin } from "./program.js";
export type { Secret, SecretsProvider } from "./secrets.js";
export type { StreamHandler } from "./site.js";
