// Answers on their way to the broker. Each is kept in the browser until the
// broker has acknowledged it, over reloads and lost connections, and is sent
// under one key however often, so that it is stored once. It is sent as the labeler who
// gave it: nobody else's access is good for it.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type SubmitRequest, SubmitRequestSchema, type SubmitResponse } from "backflip/v1/label_pb";
import type { labeling } from "../common/api";
import { randomId } from "../common/dom";
import { Backoff, isFinal, isSignedOut, within } from "../common/failures";
import { visitor } from "../common/session";
import { keys, shared } from "../common/storage";

interface Entry {
  // When it was given, by Date.now(); unique, so that entries have an order.
  at: number;
  tab: string;
  // The labeler's name.
  owner: string;
  kind: "submit" | "undo";
  lease: string;
  key: string;
  // A SubmitRequest in base64.
  body?: string;
  // It was sent at least once, and may have reached the broker.
  tried?: boolean;
}

const prefix = keys.unsent;
// An answer of another tab that is older is sent by this one: that tab is gone.
const orphanMs = 10_000;

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

type Service = Pick<typeof labeling, "submit" | "undo">;

// All that is kept, oldest first.
function entries(): Entry[] {
  const entries: Entry[] = [];
  for (const name of shared.names(prefix)) {
    try {
      entries.push(JSON.parse(shared.get(name)!) as Entry);
    } catch {
      shared.remove(name);
    }
  }
  return entries.sort((a, b) => a.at - b.at);
}

async function deliver(service: Service, entry: Entry): Promise<SubmitResponse | undefined> {
  shared.set(prefix + entry.key, JSON.stringify({ ...entry, tried: true } satisfies Entry));
  if (entry.kind === "submit") {
    return service.submit(fromBinary(SubmitRequestSchema, fromBase64(entry.body!)), within());
  }
  await service.undo({ leaseId: entry.lease, idempotencyKey: entry.key }, within());
  return undefined;
}

// Sends what the person who is signed in has not sent, before somebody else signs in. Fails where
// that is not possible now. Where their access has ended it is kept until they are back.
export async function sendUnsent(service: Service): Promise<void> {
  const name = visitor()?.name;
  for (const entry of entries().filter(({ owner }) => owner === name)) {
    try {
      await deliver(service, entry);
    } catch (failure) {
      if (isSignedOut(failure)) return;
      if (!isFinal(failure))
        throw new Error(`Answers of ${name} are not sent yet. Try again when the server answers.`);
    }
    shared.remove(prefix + entry.key);
  }
}

export interface OutboxEvents {
  // Whether the server answers; if it does not, why.
  connection(failure?: unknown): void;
  // The broker will never take the answer, or the taking back, of this key: why.
  refused(failure: unknown, key: string): void;
  signedOut(): void;
  changed(): void;
}

export class Outbox {
  private readonly waiting = new Map<string, (response: SubmitResponse | undefined) => void>();
  private readonly backoff = new Backoff();
  private running = false;
  private lastAt = 0;

  private readonly owner = visitor()?.name ?? "";

  // `tab`: its name, the same over reloads.
  constructor(
    private readonly tab: string,
    private readonly service: Service,
    private readonly events: OutboxEvents,
  ) {
    addEventListener("online", () => this.send());
    setInterval(() => this.send(), orphanMs);
  }

  private entries(): Entry[] {
    return entries().filter(({ owner }) => owner === this.owner);
  }

  // Answers that the broker has not acknowledged yet.
  get unsent(): number {
    return this.entries().filter(({ kind }) => kind === "submit").length;
  }

  private add(entry: Omit<Entry, "at" | "tab" | "owner">): void {
    this.lastAt = Math.max(Date.now(), this.lastAt + 0.001);
    const full: Entry = { ...entry, at: this.lastAt, tab: this.tab, owner: this.owner };
    shared.set(prefix + full.key, JSON.stringify(full));
    this.events.changed();
    this.send();
  }

  // Resolves with the broker's answer; undefined: refused or taken back.
  submit(request: SubmitRequest): Promise<SubmitResponse | undefined> {
    return new Promise((resolve) => {
      this.waiting.set(request.idempotencyKey, resolve);
      this.add({
        kind: "submit",
        lease: request.leaseId,
        key: request.idempotencyKey,
        body: toBase64(toBinary(SubmitRequestSchema, request)),
      });
    });
  }

  // Takes back the answer that was given under this key, sent or not.
  undo(lease: string, key: string): void {
    const unsent = this.entries().find((entry) => entry.key === key);
    if (unsent && !unsent.tried) {
      this.drop(key);
      return;
    }
    this.add({ kind: "undo", lease, key: randomId() });
  }

  private drop(key: string, response?: SubmitResponse): void {
    shared.remove(prefix + key);
    this.waiting.get(key)?.(response);
    this.waiting.delete(key);
    this.events.changed();
  }

  // Sends what waits, one after the other, in the order in which it was given.
  send(): void {
    if (!this.running) void this.run();
  }

  private async run(): Promise<void> {
    this.running = true;
    // (another tab may have signed somebody else in)
    while ((visitor()?.name ?? "") === this.owner) {
      const next = this.entries().find(
        ({ tab, at }) => tab === this.tab || Date.now() - at > orphanMs,
      );
      if (!next) break;
      try {
        const response = await deliver(this.service, next);
        this.backoff.reset();
        this.events.connection();
        this.drop(next.key, response);
      } catch (failure) {
        if (isSignedOut(failure)) {
          this.events.signedOut();
          break;
        }
        if (isFinal(failure)) {
          this.events.connection();
          this.drop(next.key);
          this.events.refused(failure, next.key);
        } else {
          this.events.connection(failure);
          await this.backoff.wait();
        }
      }
    }
    this.running = false;
  }
}

export function newSubmit(
  fields: Omit<SubmitRequest, "$typeName" | "$unknown" | "idempotencyKey">,
): SubmitRequest {
  return create(SubmitRequestSchema, { ...fields, idempotencyKey: randomId() });
}
