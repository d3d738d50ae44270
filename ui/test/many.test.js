// Many plugins and many calls: the page stays smooth, and whoever watches costs the host little.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startBrowser, startHost, startInspector } from "./inspector.js";

const PLUGINS = 50;

test(`${PLUGINS} plugins are listed, filtered and sorted while they are called`, async () => {
  const host = await startHost("--copies", String(PLUGINS), "--calls", "400");
  const ui = await startInspector("--connect", host.address);
  const browser = await startBrowser();
  try {
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    page.setDefaultTimeout(120_000);
    await page.goto(ui.url);
    await page.waitForFunction((all) => document.querySelectorAll("main tbody tr").length === all, PLUGINS);
    await page.getByLabel("Filter plugins").fill("plugin-07");
    await page.waitForFunction(() => document.querySelectorAll(".list a").length === 1);
    await page.getByRole("button", { name: "Memory" }).click();
    await page.locator("th[aria-sort=descending]", { hasText: "Memory" }).waitFor();
    await page
      .locator("main tbody td.number", { hasText: /^[1-9]/ })
      .first()
      .waitFor();
    assert.equal(await page.locator("main tbody .state.good").count(), PLUGINS);
    await page.getByRole("link", { name: "Calls", exact: true }).click();
    await page.getByText(/The list shows a sample: 1 of \d+ calls/).waitFor();
  } finally {
    await browser.close();
    await ui.end();
    await host.end();
  }
});
