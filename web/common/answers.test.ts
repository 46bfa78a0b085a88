import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Answer,
  answerSentence,
  answerWords,
  fromMessage,
  sameAnswer,
  toMessage,
} from "./answers";

test("an answer is the same after it went to the broker and back", () => {
  const answers: Answer[] = [
    ...(["LEFT", "RIGHT", "TIE", "CANNOT_TELL", "BROKEN"] as const).map((choice) => ({ choice })),
    { ranking: [[2, 0], [1], [3]] },
  ];
  for (const answer of answers) assert.deepEqual(fromMessage(toMessage(answer)), answer);
});

test("an answer that is not known yet cannot tell", () => {
  assert.deepEqual(fromMessage(undefined), { choice: "CANNOT_TELL" });
});

test("a ranking is read from best to worst, with places from 1", () => {
  assert.equal(answerWords({ ranking: [[1], [0, 2]] }), "2 > 1 = 3");
  assert.equal(answerWords(undefined), "–");
});

test("an answer makes a sentence", () => {
  assert.equal(answerSentence({ choice: "LEFT" }), "Left is better.");
});

test("answers are compared by what they say", () => {
  assert.ok(sameAnswer({ ranking: [[0], [1]] }, { ranking: [[0], [1]] }));
  assert.ok(!sameAnswer({ choice: "LEFT" }, { choice: "RIGHT" }));
});
