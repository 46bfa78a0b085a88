import "../test_browser";
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import type { Presence } from "./presence";
import { Stopwatch } from "./timing";

let now = 0;
const presence = { idle: 0 };

function stopwatch(): Stopwatch {
  return new Stopwatch(presence as Presence);
}

// Lets seconds pass as a page in front does.
function pass(seconds: number): void {
  for (let i = 0; i < 4 * seconds; ++i) {
    now += 250;
    mock.timers.tick(250);
  }
}

beforeEach(() => {
  now = 1_000;
  presence.idle = 0;
  mock.timers.enable({ apis: ["setInterval", "Date"] });
  mock.method(performance, "now", () => now);
});
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

test("a decision begins when the clips first move", () => {
  const watch = stopwatch();
  const received = Date.now();
  watch.reset();
  pass(2);
  watch.moved();
  pass(3);
  const { decisionMs, activeMs, loops, firstPlayedMs } = watch.read(received, 4);
  assert.deepEqual([decisionMs, activeMs, loops, firstPlayedMs], [3000, 3000, 4, 2000]);
});

test("time without a key or the pointer is not active", () => {
  const watch = stopwatch();
  watch.moved();
  pass(2);
  presence.idle = 31_000;
  pass(5);
  const { decisionMs, activeMs } = watch.read(Date.now(), 0);
  assert.equal(decisionMs, 7000);
  assert.equal(activeMs, 2250); // what was sampled once more
});

test("a page that slept counts one second at most", () => {
  const watch = stopwatch();
  watch.moved();
  now += 60_000;
  mock.timers.tick(250);
  assert.equal(watch.read(Date.now(), 0).activeMs, 1000);
});

test("clips that never moved took no time", () => {
  const watch = stopwatch();
  watch.reset();
  pass(2);
  const { decisionMs, activeMs } = watch.read(Date.now(), 0);
  assert.deepEqual([decisionMs, activeMs], [0, 0]);
});
