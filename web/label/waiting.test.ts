import "../test_browser";
import assert from "node:assert/strict";
import { test } from "node:test";
import { NothingToLabel } from "backflip/v1/label_pb";
import { waitingWords } from "./waiting";

const words = (none: NothingToLabel, message = "", completionCode = "") =>
  waitingWords({ none, message, completionCode, redirectUrl: "" });

test("every reason has words of its own", () => {
  const reasons = Object.values(NothingToLabel).filter((none) => typeof none === "number");
  const titles = reasons.map((none) => words(none as NothingToLabel).title);
  assert.equal(new Set(titles).size, titles.length);
});

test("what the broker says is shown, and nothing empty is", () => {
  assert.ok(words(NothingToLabel.YOU_ARE_PAUSED, "Too fast.").lines.includes("Too fast."));
  for (const none of [NothingToLabel.LEARNING, NothingToLabel.PAUSED_BY_OPERATOR]) {
    assert.ok(words(none).lines.every(Boolean));
  }
});

test("a session that is complete hands out its code", () => {
  assert.equal(words(NothingToLabel.SESSION_COMPLETE, "", "C0DE").code, "C0DE");
  assert.equal(words(NothingToLabel.SESSION_COMPLETE).lines[0], "That was all. Thank you.");
});
