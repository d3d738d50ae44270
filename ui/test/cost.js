// What it costs a host that somebody watches, and how smooth the page is: `make watching`.
//
// A host with 50 plugins calls them 5,000 times a second. In turns the browser draws an empty page and the inspector's,
// which watches. Compared is the processor's time of the host for each call, of each turn with the one beside it: other
// programs on the machine disturb both alike. The median of these ratios is told, and between which a half of them lie.

import { startBrowser, startHost, startInspector } from "./inspector.js";

const [plugins, perSecond, rounds, seconds] = [
  50,
  5000,
  Number(process.env.ROUNDS || 12),
  Number(process.env.SECONDS || 3),
];

const host = await startHost("--copies", String(plugins), "--calls", String(perSecond));
const ui = await startInspector("--connect", host.address);
const browser = await startBrowser();
try {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.setDefaultTimeout(120_000);
  await page.goto(ui.url);
  await page.waitForFunction((all) => document.querySelectorAll("main tbody tr").length === all, plugins);
  const address = page.url();

  const measured = async (work) => {
    const [used, made] = await host.ask();
    const began = performance.now();
    const more = await work();
    const [usedThen, madeThen] = await host.ask();
    const calls = madeThen - made;
    return {
      microseconds: ((usedThen - used) * 1e6) / calls,
      rate: (calls * 1000) / (performance.now() - began),
      more,
    };
  };
  const alone = [];
  const watched = [];
  for (let round = 0; round < rounds; round++) {
    await page.goto("about:blank");
    alone.push(await measured(() => page.evaluate(frames, seconds)));
    await page.goto(address);
    await page.waitForSelector("aside .dot.open");
    await page.waitForFunction((all) => document.querySelectorAll("main tbody tr").length === all, plugins);
    watched.push(await measured(() => page.evaluate(frames, seconds)));
  }
  const at = (values, share) => [...values].sort((one, other) => one - other)[Math.floor((values.length - 1) * share)];
  const middle = (values) => at(values, 0.5);
  const ratios = alone.map((each, round) => watched[round].microseconds / each.microseconds);
  const percent = (ratio) => `${((ratio - 1) * 100).toFixed(1)} %`;
  const [without, withPage] = [alone, watched].map((all) => middle(all.map((each) => each.microseconds)));
  const smooth = middle(watched.map((each) => each.more));
  const done = middle([...alone, ...watched].map((each) => each.rate));
  console.log(`${plugins} plugins, ${Math.round(done)} calls/s, medians of ${rounds} turns of ${seconds} s`);
  console.log(
    `host: ${without.toFixed(1)} µs of processor a call alone, ${withPage.toFixed(1)} µs with a page watching`,
  );
  console.log(
    `a turn with the page used ${percent(middle(ratios))} more than the one before it ` +
      `(half of them ${percent(at(ratios, 0.25))} to ${percent(at(ratios, 0.75))}); the page drew ${smooth.toFixed(0)} frames/s`,
  );
} finally {
  await browser.close();
  await ui.end();
  await host.end();
}

/** Frames a second that the page draws. */
function frames(seconds) {
  return new Promise((done) => {
    const began = performance.now();
    let drawn = 0;
    const frame = () => {
      drawn++;
      if (performance.now() - began < seconds * 1000) requestAnimationFrame(frame);
      else done((drawn * 1000) / (performance.now() - began));
    };
    requestAnimationFrame(frame);
  });
}
