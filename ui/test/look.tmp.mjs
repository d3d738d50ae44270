import { startBrowser, startHost, startInspector } from "./inspector.js";
import { mkdirSync } from "node:fs";
const OUT = "/tmp/shots"; mkdirSync(OUT, { recursive: true });
const which = process.argv.slice(2);
const browser = await startBrowser();
const shot = async (page, name) => { await page.screenshot({ path: `${OUT}/${name}.png` }); console.log(name); };
const settle = (page, ms = 1500) => page.waitForTimeout(ms);
if (which.includes("small")) {
  const host = await startHost("--calls", "60");
  const ui = await startInspector("--connect", host.address);
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.setDefaultTimeout(60000);
  await page.goto(ui.url);
  await page.locator("main tbody tr").first().waitFor();
  await settle(page, 12000);
  const base = page.url().split("#")[0];
  const views = { home: "#/", calls: "#/calls", logs: "#/logs", events: "#/events", plugin: "#/plugin/go-plugin", failing: "#/plugin/failing", everything: "#/plugin/everything/call", link: "#/plugin/go-plugin/link", missing: "#/plugin/nope" };
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const [name, hash] of Object.entries(views)) {
      await page.goto(base + hash); await settle(page); await shot(page, `${scheme}-${name}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 420, height: 860 });
  for (const [name, hash] of Object.entries(views)) { await page.goto(base + hash); await settle(page); await shot(page, `narrow-${name}`); }
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.goto(base + "#/"); await page.keyboard.press("?"); await settle(page, 500); await shot(page, "keys"); await page.keyboard.press("Escape");
  await host.end(); await settle(page, 3000); await shot(page, "lost");
  await ui.end(); await settle(page, 3000); await shot(page, "ui-ended");
  const again = await browser.newPage(); await again.goto("data:text/html,x");
}
if (which.includes("many")) {
  const host = await startHost("--copies", "100", "--calls", "3000");
  const ui = await startInspector("--connect", host.address);
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.setDefaultTimeout(60000);
  await page.goto(ui.url);
  await page.waitForFunction(() => document.querySelectorAll("main tbody tr").length === 100);
  await settle(page, 8000); await shot(page, "many-home");
  const base = page.url().split("#")[0];
  await page.goto(base + "#/calls"); await settle(page, 3000); await shot(page, "many-calls");
  await page.emulateMedia({ colorScheme: "dark" }); await page.goto(base + "#/"); await settle(page, 2000); await shot(page, "many-dark");
  await host.end(); await ui.end();
}
if (which.includes("empty")) {
  const { spawn } = await import("node:child_process");
  const child = spawn("python", ["-c", `
import asyncio, sys
from plugmux import Runtime
async def main():
    async with Runtime(listen=["unix:/tmp/shots/e/r.sock"]):
        print("ready", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
`], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((r) => child.stdout.once("data", r));
  const ui = await startInspector("--connect", "unix:/tmp/shots/e/r.sock");
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await page.goto(ui.url); await settle(page, 4000); await shot(page, "empty-home");
  const base = page.url().split("#")[0];
  for (const part of ["calls", "logs", "events"]) { await page.goto(base + "#/" + part); await settle(page, 800); await shot(page, "empty-" + part); }
  child.kill(); await ui.end();
}
await browser.close();
process.exit(0);
