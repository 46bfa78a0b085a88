import "../test_browser";
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  FeedbackSchema,
  QuestionSchema,
  type SubmitRequest,
  type SubmitResponse,
  SubmitResponseSchema,
  TimingSchema,
} from "backflip/v1/label_pb";
import { fromMessage } from "../common/answers";
import { settle } from "../test_browser";
import { Answering, markMs } from "./answering";
import type { Held } from "./questions";

function question(leaseId: string, fields: { practice?: boolean; mustPlayOnce?: boolean } = {}) {
  return { question: create(QuestionSchema, { leaseId, ...fields }), received: 0 };
}

// A labeler at a page, as Answering sees it.
class Page {
  readonly sent: SubmitRequest[] = [];
  readonly undone: string[] = [];
  readonly said: string[] = [];
  readonly refused: string[] = [];
  notes = 0;
  count = 0;
  visible = true;
  respond: (response?: SubmitResponse) => void = () => {};
  readonly player = { playing: true, playedOnce: true, left: 0, loops: 2 };
  readonly answering: Answering;

  constructor(
    readonly queue: Held[],
    readonly kept: Record<string, unknown> = {},
  ) {
    this.answering = new Answering(
      {
        outbox: {
          submit: (request) => {
            this.sent.push(request);
            return new Promise((resolve) => (this.respond = resolve));
          },
          undo: (lease) => this.undone.push(lease),
        },
        questions: {
          next: () => this.queue.shift(),
          answered: () => {},
          putBack: (held) => this.queue.unshift(held),
        },
        tab: {
          read: <T>(key: string) => this.kept[key] as T | undefined,
          keep: (key, what) => (this.kept[key] = what),
        },
        player: this.player,
        timing: () => create(TimingSchema, { decisionMs: 1000 }),
        seen: () => this.visible,
      },
      {
        changed: () => {},
        asked: () => {},
        noteWanted: () => ++this.notes,
        counted: (by) => (this.count += by),
        announce: (text) => this.said.push(text),
        refuse: (text) => this.refused.push(text),
      },
    );
    this.answering.advance();
  }

  get asked(): string | undefined {
    return this.answering.held?.question.leaseId;
  }

  get choices() {
    return this.sent.map(({ answer }) => fromMessage(answer));
  }
}

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

test("an answer stays marked for a moment, is sent, and the next question is asked", () => {
  const page = new Page([question("a"), question("b")]);
  page.answering.choose("LEFT");
  assert.deepEqual(page.answering.marked, { choice: "LEFT" });
  mock.timers.tick(markMs - 1);
  assert.equal(page.sent.length, 0);
  mock.timers.tick(1);
  assert.deepEqual(page.choices, [{ choice: "LEFT" }]);
  assert.equal(page.sent[0]?.leaseId, "a");
  assert.equal(page.asked, "b");
  assert.equal(page.count, 1);
});

test("the same choice again sends at once, another one corrects", () => {
  const page = new Page([question("a"), question("b"), question("c")]);
  page.answering.choose("LEFT");
  page.answering.choose("LEFT");
  page.answering.choose("LEFT");
  page.answering.choose("RIGHT");
  mock.timers.tick(markMs);
  assert.deepEqual(page.choices, [{ choice: "LEFT" }, { choice: "RIGHT" }]);
});

test("an answer that is refused no longer counts, and cannot be taken back", () => {
  const page = new Page([question("a"), question("b"), question("c")]);
  for (const _ of [1, 2]) {
    page.answering.choose("LEFT");
    page.answering.choose("LEFT");
  }
  assert.equal(page.count, 2);
  page.answering.refused(page.sent[1]!.idempotencyKey);
  page.answering.refused("unknown");
  assert.equal(page.count, 1);
  page.answering.undo();
  assert.deepEqual(page.undone, ["a"]);
});

test("a question that was taken away is asked no more, marked or not", () => {
  const page = new Page([question("a"), question("b"), question("c")]);
  page.answering.choose("LEFT");
  page.answering.dropQuestion();
  mock.timers.tick(markMs);
  assert.equal(page.sent.length, 0);
  assert.equal(page.asked, "b");
});

test("undo drops a marked answer, then takes sent ones back, the newest first", () => {
  const page = new Page([question("a"), question("b"), question("c")]);
  page.answering.choose("LEFT");
  page.answering.undo();
  mock.timers.tick(markMs);
  assert.equal(page.sent.length, 0);
  for (const choice of ["TIE", "RIGHT"] as const) {
    page.answering.choose(choice);
    mock.timers.tick(markMs);
  }
  assert.equal(page.asked, "c");
  page.answering.undo();
  page.answering.undo();
  assert.deepEqual(page.undone, ["b", "a"]);
  assert.equal(page.asked, "a");
  assert.equal(page.count, 0);
  page.answering.undo();
  assert.deepEqual(page.refused.at(-1), "There is no answer to take back.");
});

test("after a reload the last five answers can still be taken back", () => {
  const kept = {};
  const page = new Page(
    "abcdefgh".split("").map((lease) => question(lease)),
    kept,
  );
  for (let i = 0; i < 7; ++i) {
    page.answering.choose("LEFT");
    mock.timers.tick(markMs);
  }
  const again = new Page([question("h")], kept);
  for (let i = 0; i < 6; ++i) again.answering.undo();
  assert.deepEqual(again.undone, ["g", "f", "e", "d", "c"]);
});

test("a question whose clips are covered, or not there yet, takes no answer", () => {
  const page = new Page([question("a")]);
  page.visible = false;
  page.answering.choose("LEFT");
  page.answering.mark({ ranking: [[0], [1]] });
  assert.equal(page.answering.state.kind, "asking");
});

test("clips that must be seen take no answer before, but a report that they are broken", () => {
  const page = new Page([question("a", { mustPlayOnce: true })]);
  Object.assign(page.player, { playedOnce: false, left: 1.23 });
  page.answering.choose("LEFT");
  assert.equal(page.answering.state.kind, "asking");
  assert.deepEqual(page.refused, ["Watch each clip to its end first: 1.2 s to go."]);
  page.answering.choose("BROKEN");
  assert.equal(page.notes, 1);
  page.answering.mark({ choice: "BROKEN" }, "no floor");
  mock.timers.tick(markMs);
  assert.equal(page.sent[0]?.note, "no floor");
});

test("a remark is cut to 500 bytes between two letters", () => {
  const page = new Page([question("a")]);
  page.answering.mark({ choice: "BROKEN" }, `${"x".repeat(499)}é and more`);
  mock.timers.tick(markMs);
  assert.equal(page.sent[0]?.note, "x".repeat(499));
});

test("practice shows what is right before the next question", async () => {
  const page = new Page([question("a", { practice: true }), question("b")]);
  page.answering.choose("LEFT");
  mock.timers.tick(markMs);
  assert.equal(page.answering.state.kind, "feedback");
  assert.equal(page.answering.mayUndo, false);
  mock.timers.tick(400);
  assert.ok(page.answering.state.kind === "feedback" && page.answering.state.slow);
  const feedback = create(FeedbackSchema, { correct: true });
  page.respond(create(SubmitResponseSchema, { feedback }));
  await settle();
  assert.ok(page.answering.state.kind === "feedback" && page.answering.state.feedback?.correct);
  assert.equal(page.asked, "a");
  page.answering.continue();
  assert.equal(page.asked, "b");
  assert.equal(page.count, 0);
});

test("practice whose answer was refused goes on", async () => {
  const page = new Page([question("a", { practice: true }), question("b")]);
  page.answering.choose("LEFT");
  mock.timers.tick(markMs);
  page.respond(undefined);
  await settle();
  assert.equal(page.asked, "b");
});

test("nothing is asked where there is no question", () => {
  const page = new Page([]);
  assert.equal(page.answering.state.kind, "waiting");
  page.answering.choose("LEFT");
  page.answering.continue();
  assert.equal(page.answering.open, false);
});
