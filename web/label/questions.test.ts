import "../test_browser";
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  HeartbeatResponseSchema,
  type LeaseResponse,
  LeaseResponseSchema,
  NothingToLabel,
} from "backflip/v1/label_pb";
import { settle } from "../test_browser";
import { Questions } from "./questions";

// A broker with some questions, and a tab.
class Broker {
  readonly calls: { waitMs: number; count: number }[] = [];
  readonly presence = { away: false };
  readonly none: LeaseResponse[] = [];
  // Questions that fit into one answer.
  fit = 4;
  readonly connection: boolean[] = [];
  heartbeats = 0;
  arrived = 0;

  constructor(
    readonly leases: string[],
    readonly kept: Record<string, string> = {},
  ) {}

  questions(): Questions {
    return new Questions(
      1n,
      {
        read: (key) => JSON.parse(this.kept[key] ?? "null") ?? undefined,
        keep: (key, what) => (this.kept[key] = JSON.stringify(what)),
      },
      this.presence,
      {
        lease: async ({ waitMs = 0, count = 1 }) => {
          this.calls.push({ waitMs, count });
          if (count > this.fit) throw new ConnectError("too large", Code.ResourceExhausted);
          const questions = this.leases
            .splice(0, count)
            .map((leaseId) => ({ leaseId, leaseMs: 60_000 }));
          if (questions.length > 0) return create(LeaseResponseSchema, { questions });
          if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
          return create(LeaseResponseSchema, { none: NothingToLabel.LEARNING });
        },
        heartbeat: async () => {
          ++this.heartbeats;
          return create(HeartbeatResponseSchema);
        },
      },
      {
        arrived: () => ++this.arrived,
        none: (response) => this.none.push(response),
        connection: (failure) => this.connection.push(failure === undefined),
        refused: () => {},
        signedOut: () => {},
      },
    );
  }
}

const name = (held: ReturnType<Questions["next"]>) => held?.question.leaseId;

beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] }));
afterEach(() => mock.timers.reset());

test("the first call is answered at once, those after it wait for more", async () => {
  const broker = new Broker([]);
  broker.questions().start();
  await settle();
  assert.equal(broker.calls[0]?.waitMs, 0);
  assert.equal(broker.calls[1]?.waitMs, 20_000);
  assert.equal(broker.none[0]?.none, NothingToLabel.LEARNING);
});

test("where four questions do not fit into one answer, fewer are asked for at once", async () => {
  const broker = new Broker(["a", "b", "c", "d", "e"]);
  broker.fit = 1;
  const questions = broker.questions();
  questions.start();
  for (let i = 0; i < 8; ++i) {
    await settle();
    mock.timers.tick(2_000);
  }
  assert.deepEqual(
    broker.calls.map(({ count }) => count),
    [3, 2, 1, 1, 1, 1],
  );
  assert.deepEqual(broker.connection.slice(0, 3), [false, false, true]);
  assert.equal(name(questions.next()), "a");
});

test("questions are fetched ahead, and no more than that", async () => {
  const broker = new Broker([..."abcdefgh"]);
  const questions = broker.questions();
  questions.start();
  await settle();
  const before = broker.leases.length;
  assert.equal(name(questions.next()), "a");
  await settle();
  assert.equal(questions.peek().length, 3);
  assert.ok(before - broker.leases.length <= 1);
});

test("what was taken back comes before the question on the screen", async () => {
  const broker = new Broker(["a", "b", "c"]);
  const questions = broker.questions();
  questions.start();
  await settle();
  const first = questions.next()!;
  questions.answered();
  assert.equal(name(questions.next()), "b");
  questions.putBack(first);
  assert.equal(name(questions.next()), "a");
  questions.answered();
  assert.equal(name(questions.next()), "b");
});

test("a reload goes on with the same questions while they are leased", async () => {
  const broker = new Broker(["a", "b"]);
  const questions = broker.questions();
  questions.start();
  await settle();
  questions.next();
  const again = new Broker([], broker.kept).questions();
  again.start();
  assert.equal(name(again.next()), "a");
  assert.equal(name(again.next()), "b");
  questions.stop();
  mock.timers.setTime(120_000);
  const late = new Broker([], broker.kept).questions();
  late.start();
  assert.equal(late.next(), undefined);
});

test("nothing is asked and no lease is renewed for a person who is away", async () => {
  const broker = new Broker([..."abcdefgh"]);
  const questions = broker.questions();
  questions.start();
  await settle();
  mock.timers.tick(20_000);
  await settle();
  assert.equal(broker.heartbeats, 1);
  broker.presence.away = true;
  const calls = broker.calls.length;
  for (let i = 0; i < 10; ++i) {
    mock.timers.tick(20_000);
    await settle();
  }
  assert.equal(broker.calls.length, calls);
  assert.equal(broker.heartbeats, 1);
  // their leases have run out
  assert.equal(questions.resume(), true);
  assert.equal(questions.peek().length, 0);
});

test("a person who comes back in time keeps their questions", async () => {
  const broker = new Broker(["a"]);
  const questions = broker.questions();
  questions.start();
  await settle();
  assert.equal(questions.resume(), false);
  assert.equal(broker.heartbeats, 1);
  assert.equal(name(questions.next()), "a");
});
