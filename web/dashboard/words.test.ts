import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, number, percent, plural, seconds, short, whole } from "./formats";
import type { Run } from "./model";
import { agreementWords, queueWords, stateSentence } from "./words";

test("numbers are as long as people need them", () => {
  assert.deepEqual([0.7741, 12.94, 5628.4, Number.NaN].map(number), ["0.77", "12.9", "5,628", "–"]);
  assert.equal(whole(1_204_224), "1,204,224");
  assert.equal(short(1_204_224), "1.2M");
  assert.equal(percent(0.666), "67\u00a0%");
  assert.deepEqual([3.04, 240].map(seconds), ["3.0\u00a0s", "4 min"]);
  assert.deepEqual([plural(1, "label"), plural(1200, "label")], ["1 label", "1,200 labels"]);
});

test("moments are told from now", () => {
  const now = 1_000_000_000;
  const passed = [0, 30, 90, 7200, 3 * 86_400].map((s) => ago(now - 1000 * s, now));
  assert.deepEqual(passed, ["just now", "30 s ago", "2 min ago", "2 h ago", "3 days ago"]);
  assert.equal(ago(0, now), "never");
});

test("the agreement of people is judged by the customary bounds", () => {
  const judged = (nominal?: number) =>
    agreementWords({ nominal, questions: 5, answers: 12 }).split(/[:.]/)[0];
  assert.deepEqual([0.8, 0.667, 0.3, 0, -0.1].map(judged), [
    "Firm",
    "Tentative",
    "Weak",
    "Hardly better than chance",
    "Below chance",
  ]);
  assert.match(agreementWords({ questions: 0, answers: 0 }), /^No question has two answers/);
  assert.match(agreementWords({ questions: 2, answers: 4 }), /^Too few/);
});

test("the state of a run is one sentence", () => {
  const run = (fields: Partial<Run>) => stateSentence(fields as Run);
  assert.match(run({ state: "RUNNING", limit: "LABELS", iterations: 3 }), /^Waiting for labels/);
  assert.equal(
    run({ state: "RUNNING", limit: "NONE", iterations: 0 }),
    "Collecting the first batch.",
  );
  assert.match(
    run({ state: "RUNNING", limit: "LABELS", iterations: 3, askingStopped: true }),
    /No more questions are asked\.$/,
  );
  assert.equal(run({ state: "FAILED", message: "" }), "Failed: no reason was given.");
  assert.equal(
    run({ state: "FINISHED", bestVersion: 84 }),
    "Finished; the best policy is version 84.",
  );
});

test("questions that nobody holds are told from those that wait", () => {
  const held = (leasedQuestions: number) =>
    queueWords({ leasedQuestions } as Parameters<typeof queueWords>[0]);
  assert.deepEqual([0, 6].map(held), ["nobody holds one", "6 held by labelers"]);
});
