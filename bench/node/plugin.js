#!/usr/bin/env node
// The benchmark's service as a plugin, on our TypeScript SDK.
import { plugin } from "plugmux";
import { BenchService } from "./gen/bench/v1/bench_pb.js";
import { service } from "./service.js";

await plugin({ version: "v1.0.0", services: (router) => router.service(BenchService, service) });
