// Measures the labeling page in Chromium with WebGL in software, on a broker of
// its own, and prints one JSON object:
//   node measure.mjs [--pairs 100] [--decision 3000] [--seconds 10]
//   first_load_bytes    what crossed the wire, headers too, until the first pair moved
//   pictures_per_second of both clips at 1280x800
//   seconds_per_pair    for one scripted person, who takes --decision milliseconds
//                       from when a pair first moved, and then presses one key
import { parseArgs } from "node:util";
import { chromium } from "@playwright/test";
import { launchOptions } from "./browser.mjs";
import { Stack } from "./stack.mjs";

const { values } = parseArgs({
  options: {
    pairs: { type: "string", default: "100" },
    decision: { type: "string", default: "3000" },
    seconds: { type: "string", default: "10" },
  },
});
const pairs = Number(values.pairs);
const decisionMs = Number(values.decision);

// In the page: when something was drawn, frame by frame.
function watchDrawing() {
  const frames = [];
  let drawn = false;
  for (const name of ["drawElements", "drawArrays"]) {
    const draw = WebGL2RenderingContext.prototype[name];
    WebGL2RenderingContext.prototype[name] = function (...parts) {
      drawn = true;
      return draw.apply(this, parts);
    };
  }
  const request = requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (act) =>
    request((now) => {
      drawn = false;
      act(now);
      if (drawn) frames.push(performance.now());
    });
  window.drawnFrames = frames;
}

const stack = await Stack.start();
const browser = await chromium.launch(launchOptions);
try {
  const { secret, run } = await stack.people({ pairs: pairs + 10 });
  const page = await browser.newPage({
    viewport: { width: 1280, height: 800 },
    baseURL: stack.url,
  });
  await page.addInitScript(watchDrawing);
  const network = await page.context().newCDPSession(page);
  await network.send("Network.enable");
  let bytes = 0;
  const seen = new Map();
  network.on("Network.responseReceived", ({ requestId, response }) =>
    seen.set(requestId, response.encodedDataLength),
  );
  network.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    bytes += encodedDataLength;
    seen.delete(requestId);
  });
  await page.goto(`/#invite=${secret}`);
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByRole("button", { name: "Begin" }).click();
  // the second picture is the first that moved
  await page.waitForFunction(() => window.drawnFrames.length >= 2);
  const firstLoad = bytes + [...seen.values()].reduce((sum, length) => sum + length, 0);

  const before = await page.evaluate(() => window.drawnFrames.length);
  const began = performance.now();
  await page.waitForTimeout(1000 * Number(values.seconds));
  const pictures = (await page.evaluate(() => window.drawnFrames.length)) - before;
  const rate = pictures / ((performance.now() - began) / 1000);

  const next = async (key) => {
    const moved = page.evaluate(
      () =>
        new Promise((resolve) => {
          let marked = false;
          const look = () => {
            const pressed = document.querySelector('[aria-pressed="true"]') !== null;
            if (!pressed && marked && !document.querySelector(".choices button").disabled) {
              const count = window.drawnFrames.length;
              const wait = () =>
                window.drawnFrames.length > count ? resolve() : setTimeout(wait, 1);
              return wait();
            }
            marked ||= pressed;
            setTimeout(look, 1);
          };
          look();
        }),
    );
    await page.keyboard.press(key);
    await moved;
  };
  await next("ArrowLeft");
  const times = [];
  for (let i = 0; i < pairs; ++i) {
    const start = performance.now();
    await page.waitForTimeout(decisionMs);
    await next(["ArrowLeft", "ArrowRight", "ArrowUp"][i % 3]);
    times.push((performance.now() - start) / 1000);
  }
  times.sort((a, b) => a - b);
  for (
    let tries = 0;
    tries < 100 &&
    (await stack.value(`SELECT count(*) FROM labels WHERE run_id = ${run}`)) < pairs + 1;
    ++tries
  ) {
    await page.waitForTimeout(100);
  }
  console.log(
    JSON.stringify({
      first_load_bytes: firstLoad,
      pictures_per_second: Math.round(10 * rate) / 10,
      pairs,
      seconds_per_pair:
        Math.round((1000 * times.reduce((sum, time) => sum + time, 0)) / pairs) / 1000,
      slowest_pair: Math.round(1000 * times.at(-1)) / 1000,
      decision_seconds: decisionMs / 1000,
      labels_stored: Number(await stack.value(`SELECT count(*) FROM labels WHERE run_id = ${run}`)),
    }),
  );
} finally {
  await browser.close();
  await stack.end();
}
