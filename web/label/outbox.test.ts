import "../test_browser";
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type SubmitRequest, SubmitResponseSchema, UndoResponseSchema } from "backflip/v1/label_pb";
import type { labeling } from "../common/api";
import { signIn } from "../common/session";
import { settle } from "../test_browser";
import { newSubmit, Outbox, sendUnsent } from "./outbox";

// A broker that fails with what stands in `failures`, one after the other.
class Broker {
  readonly calls: string[] = [];
  readonly failures: ConnectError[] = [];
  readonly events: string[] = [];

  private answer<T>(call: string, response: T): Promise<T> {
    this.calls.push(call);
    const failure = this.failures.shift();
    return failure ? Promise.reject(failure) : Promise.resolve(response);
  }

  readonly service: Pick<typeof labeling, "submit" | "undo"> = {
    submit: ({ leaseId = "", idempotencyKey = "" }) =>
      this.answer(`submit ${leaseId} ${idempotencyKey}`, create(SubmitResponseSchema)),
    undo: ({ leaseId = "" }) => this.answer(`undo ${leaseId}`, create(UndoResponseSchema)),
  };

  outbox(tab = "tab"): Outbox {
    return new Outbox(tab, this.service, {
      connection: (failure) => this.events.push(failure ? "offline" : "online"),
      refused: () => this.events.push("refused"),
      signedOut: () => this.events.push("signed out"),
      changed: () => {},
    });
  }

  get leases(): string[] {
    return this.calls.map((call) => call.split(" ").slice(0, 2).join(" "));
  }
}

const lost = () => new ConnectError("lost", Code.Unavailable);

function request(leaseId: string): SubmitRequest {
  return newSubmit({
    leaseId,
    client: "test",
    note: "",
    answer: undefined,
    timing: undefined,
    supersedes: undefined,
  });
}

beforeEach(() => {
  localStorage.clear();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
});
afterEach(() => mock.timers.reset());

test("answers are sent in order, one at a time, and forgotten when acknowledged", async () => {
  const broker = new Broker();
  const outbox = broker.outbox();
  const done = [outbox.submit(request("a")), outbox.submit(request("b"))];
  assert.equal(outbox.unsent, 2);
  assert.deepEqual(broker.leases, ["submit a"]);
  await settle();
  assert.deepEqual(broker.leases, ["submit a", "submit b"]);
  assert.ok((await Promise.all(done)).every((response) => response !== undefined));
  assert.equal(outbox.unsent, 0);
});

test("a lost connection is tried again under the same key", async () => {
  const broker = new Broker();
  broker.failures.push(lost(), lost());
  const outbox = broker.outbox();
  void outbox.submit(request("a"));
  await settle();
  assert.deepEqual(broker.events, ["offline"]);
  for (let i = 0; i < 2; ++i) {
    mock.timers.tick(2_000);
    await settle();
  }
  assert.equal(broker.calls.length, 3);
  assert.equal(new Set(broker.calls).size, 1);
  assert.equal(broker.events.at(-1), "online");
  assert.equal(outbox.unsent, 0);
});

test("what the broker will never take is dropped and reported, and the next one is sent", async () => {
  const broker = new Broker();
  broker.failures.push(new ConnectError("gone", Code.NotFound));
  const outbox = broker.outbox();
  const refused = outbox.submit(request("a"));
  void outbox.submit(request("b"));
  await settle();
  assert.equal(await refused, undefined);
  assert.ok(broker.events.includes("refused"));
  assert.deepEqual(broker.leases, ["submit a", "submit b"]);
});

test("an answer that was never sent is taken back without the broker", async () => {
  const broker = new Broker();
  broker.failures.push(lost());
  const outbox = broker.outbox();
  void outbox.submit(request("a"));
  const second = request("b");
  const taken = outbox.submit(second);
  outbox.undo("b", second.idempotencyKey);
  assert.equal(await taken, undefined);
  assert.equal(outbox.unsent, 1);
});

test("an answer that may have been stored is taken back at the broker, after it", async () => {
  const broker = new Broker();
  broker.failures.push(lost());
  const outbox = broker.outbox();
  const first = request("a");
  void outbox.submit(first);
  outbox.undo("a", first.idempotencyKey);
  await settle();
  mock.timers.tick(2_000);
  await settle();
  assert.deepEqual(broker.leases, ["submit a", "submit a", "undo a"]);
});

test("answers outlive the page; those of a tab that is gone are sent by another", async () => {
  const gone = new Broker();
  gone.failures.push(lost());
  void gone.outbox("one").submit(request("a"));
  await settle();
  const broker = new Broker();
  const outbox = broker.outbox("two");
  outbox.send();
  await settle();
  assert.deepEqual(broker.leases, []);
  gone.failures.push(...Array.from({ length: 20 }, lost)); // it never gets through
  for (let i = 0; i < 3; ++i) {
    mock.timers.tick(10_000);
    await settle();
  }
  assert.deepEqual(broker.leases, ["submit a"]);
});

test("a token that is no longer accepted ends the sending and keeps the answers", async () => {
  const broker = new Broker();
  broker.failures.push(new ConnectError("revoked", Code.Unauthenticated));
  const outbox = broker.outbox();
  void outbox.submit(request("a"));
  await settle();
  assert.deepEqual(broker.events, ["signed out"]);
  assert.equal(outbox.unsent, 1);
});

test("answers go out as the labeler who gave them, whoever signs in meanwhile", async () => {
  signIn("token of ann", "INVITE_LABELER", "ann");
  const broker = new Broker();
  broker.failures.push(lost());
  void broker.outbox().submit(request("a"));
  await settle();
  assert.deepEqual(broker.leases, ["submit a"]); // did not get through

  signIn("token of bob", "INVITE_LABELER", "bob");
  const other = new Broker();
  const outbox = other.outbox("another tab");
  assert.equal(outbox.unsent, 0);
  void outbox.submit(request("b"));
  mock.timers.tick(60_000);
  await settle();
  assert.deepEqual(other.leases, ["submit b"]);
  assert.deepEqual(broker.leases, ["submit a"]);

  signIn("another token of ann", "INVITE_LABELER", "ann");
  const again = new Broker();
  again.outbox("a third tab").send();
  await settle();
  assert.deepEqual(again.leases, ["submit a"]);
});

test("what is not sent is sent before somebody else signs in, or they may not yet", async () => {
  signIn("token of ann", "INVITE_LABELER", "ann");
  const broker = new Broker();
  broker.failures.push(lost(), lost());
  void broker.outbox().submit(request("a"));
  await settle();
  await assert.rejects(sendUnsent(broker.service), /Answers of ann are not sent yet/);
  await sendUnsent(broker.service);
  assert.deepEqual(broker.leases, ["submit a", "submit a", "submit a"]);
  const keys = new Set(broker.calls.map((call) => call.split(" ")[2]));
  assert.equal(keys.size, 1);
  await sendUnsent(broker.service);
  assert.equal(broker.calls.length, 3);
});
