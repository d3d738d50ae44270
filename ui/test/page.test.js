// The inspector as a person uses it, in headless Chromium, over a runtime with the example plugins and one that fails.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { startBrowser, startHost, startInspector } from "./inspector.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const IMAGES = resolve(import.meta.dirname, "../../docs/images");
const EVERYTHING = "#/plugin/everything/call/inspected.v1.EverythingService";
const SIZE = { width: 1440, height: 900 };

let host, ui, browser, context, page, errors;

before(async () => {
  [host, browser] = await Promise.all([startHost("--calls", "40"), startBrowser()]);
  ui = await startInspector("--connect", host.address);
  context = await browser.newContext({ viewport: SIZE, permissions: ["clipboard-read", "clipboard-write"] });
  context.setDefaultTimeout(Number(process.env.PATIENCE ?? 60_000));
  page = await context.newPage();
  await page.goto(ui.url);
  await page.waitForSelector("aside .dot.open");
});

after(async () => {
  await browser?.close();
  await ui?.end();
  await host?.end();
});

beforeEach(() => {
  errors = [];
  page.on("pageerror", fail);
  page.on("console", complain);
});

afterEach(() => {
  page.off("pageerror", fail);
  page.off("console", complain);
  assert.deepEqual(errors, []);
});

const fail = (error) => errors.push(String(error));
const complain = (message) => message.type() === "error" && errors.push(message.text());

const open = (hash) => page.evaluate((to) => void (location.hash = to), hash);
const row = (name) => page.locator("tbody tr", { has: page.getByRole("link", { name, exact: true }) });
const field = (name) => page.locator(".request").getByLabel(name, { exact: true }).first();
const method = (name) =>
  open(`${EVERYTHING}/${name}`).then(() => page.locator(".panel h2", { hasText: name }).waitFor());
const ended = (code) => page.locator(".ended", { has: page.locator("b", { hasText: new RegExp(`^${code}$`) }) });
const screenshot = (name) => {
  if (!process.env.SCREENSHOTS) return;
  mkdirSync(IMAGES, { recursive: true });
  return page.screenshot({ path: join(IMAGES, `${name}.png`) });
};

async function isAccessible(what) {
  await page.evaluate(AXE); // It runs in the page as a debugger's code does, which the policy on scripts does not bind.
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html)}`);
  assert.deepEqual(told, [], what);
}

describe("what runs", () => {
  test("every plugin is listed with its state, and calls are counted", async () => {
    await open("#/");
    for (const name of ["python-plugin", "go-plugin", "ts-plugin", "everything"]) {
      await row(name).getByText("running").waitFor();
    }
    await row("failing").getByText("gave up").waitFor();
    await row("go-plugin")
      .locator("td.number")
      .nth(1)
      .filter({ hasText: /^[1-9]/ })
      .waitFor();
    await isAccessible("the runtime");
  });

  test("plugins can be filtered, and one can be looked at", async () => {
    await page.getByLabel("Filter plugins").fill("ts-");
    await assert.doesNotReject(page.locator(".list a").filter({ hasText: "go-plugin" }).waitFor({ state: "detached" }));
    assert.equal(await page.locator(".list a").count(), 1);
    await page.locator(".list a").click();
    await page.getByRole("heading", { name: "ts-plugin" }).waitFor();
    await page.getByText("kv.v1.KeyValueService/Get").waitFor();
    await page.getByLabel("Filter plugins").fill("");
    await isAccessible("a plugin");
  });

  test("calls appear as they end, and can be filtered", async () => {
    await open("#/calls");
    await page.locator(".calls tbody tr").nth(20).waitFor();
    await page.getByLabel("Filter calls").fill("go-plugin");
    await page.waitForFunction(() =>
      [...document.querySelectorAll(".calls tbody tr")].every((each) => each.textContent.includes("go-plugin")),
    );
    await page.getByLabel("Filter calls").fill("no such thing");
    await page.getByText("No call fits the filters.").waitFor();
    await page.getByLabel("Filter calls").fill("");
    await page.locator(".calls tbody tr").first().waitFor();
    await isAccessible("calls");
  });

  test("a link's streams and windows are shown", async () => {
    await open("#/plugin/everything/link");
    await page.getByText("Round trip").waitFor();
    await isAccessible("a link");
  });
});

describe("calling", () => {
  test("a form has every kind of field, and the answer is what was filled in", async () => {
    await method("Fill");
    await field("text").fill("some text");
    await field("data").fill("bytes");
    await field("flag").check();
    await field("small").fill("-7");
    await field("large").fill("9007199254740993");
    await field("precise").fill("0.5");
    await field("shade").selectOption("SHADE_DARK");
    await page.getByRole("button", { name: "Add Point" }).first().click();
    await field("x").fill("3");
    await page.getByRole("button", { name: "Add to words" }).click();
    await field("words 1").fill("one");
    await page.getByRole("button", { name: "Add to counts" }).click();
    await field("Value of key").fill("5");
    await field("choice").selectOption("number");
    await field("number").fill("9");
    await page.getByRole("button", { name: "Now" }).click();
    await field("during").fill("1.5s");
    await field("free").fill('{"a": [1, null]}');
    await field("wrapped").fill("w");
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await ended("ok").waitFor();
    const answer = JSON.parse(await page.locator(".response pre").first().textContent());
    const { at, ...filled } = answer.filled;
    assert.ok(!Number.isNaN(Date.parse(at)));
    assert.deepEqual(filled, {
      text: "some text",
      data: Buffer.from("bytes").toString("base64"),
      flag: true,
      small: -7,
      large: "9007199254740993",
      precise: 0.5,
      shade: "SHADE_DARK",
      point: { x: 3 },
      words: ["one"],
      counts: { key: 5 },
      number: 9,
      during: "1.500s",
      free: { a: [1, null] },
      wrapped: "w",
    });
    await page.locator("main").evaluate((main) => main.scrollTo(0, 0));
    await screenshot("inspector-call");
    await isAccessible("a form");
  });

  test("what the method does not take is told before it is called", async () => {
    await field("small").fill("not a number");
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await page.getByRole("alert").waitFor();
    assert.match(await page.getByRole("alert").textContent(), /small/);
  });

  test("raw JSON stands for the form, and is copied as a command", async () => {
    await method("Count");
    await page.getByRole("button", { name: "JSON" }).click();
    await page.getByLabel("Request as JSON").fill('{"to": 3}');
    await page.getByRole("button", { name: "Copy as plugmux call" }).click();
    await page.getByText("Copied").waitFor();
    const command = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(
      command,
      `plugmux call inspected.v1.EverythingService/Count '{"to":3}' --connect ${host.address} --name everything`,
    );
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await ended("ok").waitFor();
    await page.locator(".ended").getByText("3 messages").waitFor();
    assert.equal(await page.locator(".response pre").count(), 3);
    await page.getByRole("button", { name: "Form" }).click();
    assert.equal(await field("to").inputValue(), "3");
  });

  test("a stream of requests is sent message by message", async () => {
    await method("Sum");
    await page.getByRole("button", { name: "Open the stream" }).click();
    for (const number of ["3", "4"]) {
      await field("number").fill(number);
      await page.getByRole("button", { name: "Send this message" }).click();
      await page.locator("figure.sent", { hasText: `"number": ${number}` }).waitFor();
    }
    await page.getByRole("button", { name: "End the requests" }).click();
    await ended("ok").waitFor();
    await page.locator("figure:not(.sent) pre", { hasText: '"sum": 7' }).waitFor();
  });

  test("a stream both ways answers each message, and can be cancelled", async () => {
    await method("Chat");
    await page.getByRole("button", { name: "Open the stream" }).click();
    await field("text").fill("hello");
    await page.getByRole("button", { name: "Send this message" }).click();
    await page.locator("figure:not(.sent) pre", { hasText: "you said hello" }).waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Open the stream" }).waitFor();
    await isAccessible("a stream");
  });

  test("an error is shown with its details, and kept in the history", async () => {
    await method("Fail");
    await field("message").fill("not <i>today</i>");
    await page.keyboard.press("Control+Enter");
    await ended("failed_precondition").waitFor();
    await page.locator(".ended").getByText("not <i>today</i>").waitFor();
    await page.locator(".ended figure", { hasText: "inspected.v1.Point" }).waitFor();
    const detail = JSON.parse(await page.locator(".ended pre").textContent());
    assert.deepEqual(detail, { x: 3, y: 4 });
    await page.getByText("History (1)").click();
    await field("message").fill("");
    await page.locator(".history button").click();
    assert.equal(await field("message").inputValue(), "not <i>today</i>");
    await isAccessible("an error");
  });
});

describe("what is secret", () => {
  test("neither a password, nor a token, nor an error that repeats it is shown", async () => {
    await method("Login");
    await field("user").fill("ann");
    await field("password").fill("my-password");
    assert.equal(await field("password").getAttribute("type"), "password");
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await ended("ok").waitFor();
    const answer = JSON.parse(await page.locator(".response pre").first().textContent());
    assert.deepEqual(answer, { token: "****", sessions: [{ id: "s1", key: "****" }] });
    await field("fail").check();
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await ended("permission_denied").waitFor();
    await page.locator(".ended").getByText("the password **** is not the right one").waitFor();
    await page.getByText(/History/).click();
    await page.getByRole("button", { name: "Copy as plugmux call" }).click();
    await page.getByText("Copied").waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    const shown = (await page.locator("body").innerHTML()) + copied;
    for (const secret of ["my-password", "token-of-the-session", "key-of-the-session", "a2V5LW9m"]) {
      assert.ok(!shown.includes(secret), secret);
    }
  });

  test("nor is the error of such a call among the calls", async () => {
    await open("#/calls");
    await page.getByLabel("Filter calls").fill("Login");
    await page.locator(".calls tbody tr", { hasText: "permission_denied" }).waitFor();
    assert.ok(!(await page.locator("body").innerHTML()).includes("my-password"));
  });
});

describe("what a plugin says", () => {
  const HOSTILE = `<img src=x onerror="document.title='run'"><script>document.title='run'</script>&amp;`;

  test("is text wherever it is shown, and never runs", async () => {
    await method("Say");
    await field("line").fill(HOSTILE);
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await ended("ok").waitFor();
    await method("Fail");
    await field("message").fill(HOSTILE);
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await ended("failed_precondition").waitFor();
    await open("#/logs");
    await page.locator(".lines li", { hasText: HOSTILE }).first().waitFor();
    await page.getByLabel("Source").selectOption("stderr");
    await page.getByLabel("Filter lines").fill("onerror");
    await page.locator(".lines li", { hasText: HOSTILE }).first().waitFor();
    await isAccessible("logs");
    await open("#/calls");
    await page.getByLabel("Filter calls").fill("onerror");
    await page.locator(".calls tbody tr", { hasText: "failed_precondition" }).waitFor();
    assert.equal(await page.locator("main img, main script, main b b").count(), 0);
    assert.ok(!(await page.title()).includes("run"));
  });

  test("leads to a page of the documentation, and to no other place", async () => {
    const told = "https://plugmux.dev/docs/troubleshooting.html#launch-failed";
    await method("Say");
    await field("line").fill(`see ${told}, not https://plugmux.dev.example/docs/troubleshooting.html#launch-failed`);
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await ended("ok").waitFor();
    await open("#/logs");
    const line = page.locator(".lines li", { hasText: `see ${told}` }).first();
    const links = await line.locator(".text a").evaluateAll((all) => all.map(({ href, rel }) => [href, rel]));
    assert.deepEqual(links, [[told, "noreferrer"]]);
  });

  test("a name that holds HTML is not one of a plugin, and changes nothing", async () => {
    await open("#/plugin/%3Cimg src=x onerror=alert(1)%3E");
    await page.getByRole("heading", { name: "<img src=x onerror=alert(1)>" }).waitFor();
    await page.getByText("This runtime has no plugin of that name now.").waitFor();
    assert.equal(await page.locator("main img").count(), 0);
  });
});

describe("the life of a plugin", () => {
  test("a crash is seen as it happens, with its last words, and so is the restart", async () => {
    await method("Crash");
    const before = await page.locator(".head").innerText();
    await field("last_words").fill("<b>goodbye</b>");
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await ended("unavailable").waitFor();
    await page.locator(".ended", { hasText: "<b>goodbye</b>" }).waitFor();
    await page.waitForFunction((then) => {
      const now = document.querySelector(".head")?.innerText ?? "";
      return now.includes("running") && now !== then;
    }, before.split("\n").join("\n"));
    await open("#/plugin/everything/events");
    await page.locator("tbody tr", { hasText: "crashed" }).first().waitFor();
    await isAccessible("events");
    await open("#/plugin/everything/overview");
    await page.locator(".tile", { hasText: "1 restarts" }).waitFor();
  });

  test("a plugin is restarted, replaced, disabled and enabled", async () => {
    await open("#/plugin/python-plugin");
    const pid = () => page.locator(".head .mono", { hasText: "pid" }).innerText();
    const changed = async (before) =>
      page.locator(".head .mono", { hasText: "pid" }).filter({ hasNotText: before }).waitFor();
    for (const verb of ["Restart", "Replace"]) {
      const before = await pid();
      await page.getByRole("button", { name: verb }).click();
      await changed(before);
      await page.locator(".head .state.good").waitFor();
    }
    await page.getByRole("button", { name: "Disable" }).click();
    await page.locator(".head .state", { hasText: "disabled" }).waitFor();
    await page.getByRole("button", { name: "Enable" }).click();
    await page.locator(".head .state", { hasText: "running" }).waitFor();
    assert.equal(await page.getByRole("alert").count(), 0);
  });
});

describe("by keyboard alone", () => {
  test("a plugin is found, and a method called", async () => {
    await open("#/");
    await page.locator("main").focus();
    await page.keyboard.press("/");
    await page.keyboard.type("everything");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "everything" }).waitFor();
    await page.keyboard.press("2");
    await page.locator(".console").waitFor();
    const label = () =>
      page.evaluate(() => document.activeElement?.labels?.[0]?.textContent ?? document.activeElement?.textContent);
    for (let steps = 0; steps < 60 && (await label()) !== "text"; steps++) await page.keyboard.press("Tab");
    assert.equal(await label(), "text");
    await page.keyboard.type("typed");
    await page.keyboard.press("Control+Enter");
    await ended("ok").waitFor();
    await page.locator(".response pre", { hasText: '"text": "typed"' }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    await page.getByRole("dialog").getByText("filter plugins").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page.keyboard.press("l");
    await page.getByRole("heading", { name: "Logs" }).waitFor();
    await page.getByLabel("Filter plugins").fill("");
  });
});

describe("light and dark", () => {
  test("the page follows the system, until somebody chooses", async () => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await open("#/");
    const light = await ground();
    await page.evaluate(() => document.activeElement?.blur());
    await screenshot("inspector");
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await ground();
    assert.notEqual(light, dark);
    for (const hash of ["#/", "#/calls", "#/logs", "#/events", "#/plugin/go-plugin", `${EVERYTHING}/Fill`]) {
      await open(hash);
      await page.locator("main .panel").first().waitFor();
      await isAccessible(`${hash} in the dark`);
    }
    await open("#/");
    await page.locator("tbody tr").first().waitFor();
    await page.getByRole("button", { name: "Switch between light and dark" }).click();
    assert.equal(await ground(), light);
    await page.getByRole("button", { name: "Switch between light and dark" }).click();
    assert.equal(await ground(), dark);
    await page.emulateMedia({ colorScheme: "light" });
  });
});

describe("nobody else", () => {
  test("the address is good once, and for one browser", async () => {
    const stranger = await browser.newContext();
    const other = await stranger.newPage();
    assert.equal((await other.goto(ui.url)).status(), 403);
    await other.getByText("has been used").waitFor();
    assert.equal((await other.goto(page.url())).status(), 403);
    assert.equal((await other.goto(new URL("/", ui.url).href)).status(), 403);
    assert.equal((await other.goto(new URL("/?token=wrong", ui.url).href)).status(), 403);
    await stranger.close();
    const again = await page.reload();
    assert.equal(again.status(), 200);
    await page.waitForSelector("aside .dot.open");
  });

  test("a page of another origin reads nothing, calls nothing and frames nothing", async () => {
    const foreign = createServer((_, response) =>
      response.setHeader("content-type", "text/html").end("<title>evil</title>"),
    );
    await new Promise((listening) => foreign.listen(0, "127.0.0.1", listening));
    const evil = await context.newPage(); // It has the cookie, as any page in the same browser has.
    const inner = page.url().replace(/#.*/, "");
    try {
      await evil.goto(`http://127.0.0.1:${foreign.address().port}/`);
      const listing = `${inner}plugins.v1.PluginManagementService/`;
      const outcomes = await evil.evaluate(
        async ([target, list]) => {
          const tried = async (url, options) => {
            try {
              const response = await fetch(url, options);
              return `${response.type} ${response.status} ${(await response.text()).length}`;
            } catch {
              return "refused";
            }
          };
          const frame = document.createElement("iframe");
          frame.src = target;
          document.body.append(frame);
          await new Promise((done) => (frame.onload = done));
          return {
            read: await tried(target),
            post: await tried(`${list}ListPlugins`, {
              method: "POST",
              headers: { "content-type": "application/json" },
              body: "{}",
            }),
            simple: await tried(`${list}RestartPlugin`, {
              method: "POST",
              mode: "no-cors",
              credentials: "include",
              body: '{"name":"go-plugin"}',
            }),
          };
        },
        [inner, listing],
      );
      assert.deepEqual(outcomes, { read: "refused", post: "refused", simple: "refused" });
      const framed = evil.frames().find((each) => each !== evil.mainFrame());
      assert.equal(await framed?.locator("aside").count(), 0);
    } finally {
      await evil.close();
      foreign.close();
    }
  });

  test("a name of somebody else's that leads to this machine reaches nothing", async () => {
    const rebound = await startRebound();
    try {
      const there = await rebound.newPage();
      const url = ui.url.replace("127.0.0.1", "evil.example");
      assert.equal((await there.goto(url)).status(), 421);
      assert.equal((await there.goto(page.url().replace("127.0.0.1", "evil.example"))).status(), 421);
    } finally {
      await rebound.close();
    }
  });

  test("no script but the page's own runs in it", async () => {
    const violations = await page.evaluate(async () => {
      const seen = [];
      addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
      const script = document.createElement("script");
      try {
        script.text = "document.title = 'run'";
        document.head.append(script);
      } catch {
        seen.push("trusted types");
      }
      try {
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=1>");
      } catch {
        seen.push("trusted types");
      }
      await fetch("http://127.0.0.1:1/").catch(() => seen.push("connect"));
      return { seen, title: document.title };
    });
    assert.ok(violations.seen.filter((each) => each === "trusted types").length >= 1, String(violations.seen));
    assert.ok(violations.seen.includes("connect"));
    assert.notEqual(violations.title, "run");
    errors.length = 0; // The browser has told of each.
  });
});

async function startRebound() {
  const browser = await startBrowser("--host-resolver-rules=MAP evil.example 127.0.0.1");
  const context = await browser.newContext();
  const close = context.close.bind(context);
  context.close = () => close().then(() => browser.close());
  return context;
}

test("when the runtime ends, the page says so", async () => {
  const short = await startHost();
  const over = await startInspector("--connect", short.address);
  const other = await context.newPage();
  try {
    await other.goto(over.url);
    await other.waitForSelector("aside .dot.open");
    await short.end();
    await other.getByRole("alert").filter({ hasText: "The runtime does not answer" }).waitFor();
  } finally {
    await other.close();
    await over.end();
  }
});
