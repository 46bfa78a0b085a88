// Answers on their way to the broker. Each is kept in the browser until the
// broker has acknowledged it, over reloads and lost connections, and is sent
// under one key however often, so that it is stored once.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type SubmitRequest, SubmitRequestSchema, type SubmitResponse } from "backflip/v1/label_pb";
import type { labeling } from "../common/api";
import { randomId } from "../common/dom";
import { Backoff, isFinal, isSignedOut, within } from "../common/failures";
import { keys } from "../common/storage";

interface Entry {
  // When it was given, by Date.now(); unique, so that entries have an order.
  at: number;
  tab: string;
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

export interface OutboxEvents {
  // A lost connection, or its return.
  connection(online: boolean): void;
  // The broker will never take an answer: why.
  refused(failure: unknown): void;
  signedOut(): void;
  changed(): void;
}

export class Outbox {
  private readonly waiting = new Map<string, (response: SubmitResponse | undefined) => void>();
  private readonly backoff = new Backoff();
  private running = false;
  private lastAt = 0;

  // `tab`: its name, the same over reloads.
  constructor(
    private readonly tab: string,
    private readonly service: Pick<typeof labeling, "submit" | "undo">,
    private readonly events: OutboxEvents,
  ) {
    addEventListener("online", () => this.send());
    setInterval(() => this.send(), orphanMs);
  }

  private entries(): Entry[] {
    const entries: Entry[] = [];
    for (let i = 0; i < localStorage.length; ++i) {
      const name = localStorage.key(i)!;
      if (!name.startsWith(prefix)) continue;
      try {
        entries.push(JSON.parse(localStorage.getItem(name)!) as Entry);
      } catch {
        localStorage.removeItem(name);
      }
    }
    return entries.sort((a, b) => a.at - b.at);
  }

  // Answers that the broker has not acknowledged yet.
  get unsent(): number {
    return this.entries().filter(({ kind }) => kind === "submit").length;
  }

  private add(entry: Omit<Entry, "at" | "tab">): void {
    this.lastAt = Math.max(Date.now(), this.lastAt + 0.001);
    const full: Entry = { ...entry, at: this.lastAt, tab: this.tab };
    localStorage.setItem(prefix + full.key, JSON.stringify(full));
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
    localStorage.removeItem(prefix + key);
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
    for (;;) {
      const next = this.entries().find(
        ({ tab, at }) => tab === this.tab || Date.now() - at > orphanMs,
      );
      if (!next) break;
      localStorage.setItem(
        prefix + next.key,
        JSON.stringify({ ...next, tried: true } satisfies Entry),
      );
      try {
        const response = await this.deliver(next);
        this.backoff.reset();
        this.events.connection(true);
        this.drop(next.key, response);
      } catch (failure) {
        if (isSignedOut(failure)) {
          this.events.signedOut();
          break;
        }
        if (isFinal(failure)) {
          this.events.connection(true);
          this.drop(next.key);
          this.events.refused(failure);
        } else {
          this.events.connection(false);
          await this.backoff.wait();
        }
      }
    }
    this.running = false;
  }

  private async deliver(entry: Entry): Promise<SubmitResponse | undefined> {
    if (entry.kind === "submit") {
      return this.service.submit(
        fromBinary(SubmitRequestSchema, fromBase64(entry.body!)),
        within(),
      );
    }
    await this.service.undo({ leaseId: entry.lease, idempotencyKey: entry.key }, within());
    return undefined;
  }
}

export function newSubmit(
  fields: Omit<SubmitRequest, "$typeName" | "$unknown" | "idempotencyKey">,
): SubmitRequest {
  return create(SubmitRequestSchema, { ...fields, idempotencyKey: randomId() });
}
