// The questions that are leased to this person: the one on the screen, and the next
// three. They outlive a reload of the tab.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type LeaseResponse, type Question, QuestionSchema } from "backflip/v1/label_pb";
import type { labeling } from "../common/api";
import { sleep } from "../common/dom";
import { Backoff, isBusy, isFinal, isSignedOut, sentence, within } from "../common/failures";
import { fromBase64, toBase64 } from "./outbox";
import type { Presence } from "./presence";
import type { Tab } from "./tab";

export interface Held {
  question: Question;
  // When it was received, by Date.now().
  received: number;
}

// As a tab keeps it.
export interface KeptHeld {
  question: string;
  received: number;
}

export function pack({ question, received }: Held): KeptHeld {
  return { question: toBase64(toBinary(QuestionSchema, question)), received };
}

export function unpack({ question, received }: KeptHeld): Held {
  return { question: fromBinary(QuestionSchema, fromBase64(question)), received };
}

// Questions held besides the one on the screen.
const ahead = 3;
const waitMs = 20_000;

interface Kept {
  held: KeptHeld[];
  alive: number;
  leaseMs: number;
}

export interface QuestionEvents {
  arrived(): void;
  // There is nothing to label, and why; called each time that the broker says so.
  none(response: LeaseResponse): void;
  // Whether the server answers; if it does not, why.
  connection(failure?: unknown): void;
  // The broker will not answer this person.
  refused(message: string): void;
  signedOut(): void;
}

export class Questions {
  private queue: Held[] = [];
  // The one on the screen: out of the queue, not answered yet.
  private shown?: Held;
  private readonly backoff = new Backoff();
  private alive = Date.now();
  private leaseMs = 60_000;
  private ended = false;
  private asked = false;
  // Most questions that are asked for in one call.
  private atOnce = 4;
  private wake: () => void = () => {};

  constructor(
    private readonly run: bigint,
    private readonly tab: Pick<Tab, "read" | "keep">,
    private readonly presence: Pick<Presence, "away">,
    private readonly service: Pick<typeof labeling, "lease" | "heartbeat">,
    private readonly events: QuestionEvents,
  ) {}

  start(): void {
    this.restore();
    void this.fill();
    void this.beat();
  }

  stop(): void {
    this.ended = true;
  }

  peek(): readonly Held[] {
    return this.queue;
  }

  next(): Held | undefined {
    this.shown = this.queue.shift();
    this.save();
    this.wake();
    if (!this.shown && !this.ended) void this.explain();
    return this.shown;
  }

  // Asks at once why there is none: the call that waits for more may take long.
  async explain(): Promise<void> {
    try {
      this.take(await this.lease(0, 1));
    } catch {
      // the call that waits for more says what is wrong
    }
  }

  private lease(wait: number, count: number): Promise<LeaseResponse> {
    return this.service.lease(
      { runId: this.run, waitMs: wait, count, maxClips: innerWidth >= 1024 ? 8 : 2 },
      within(wait + 15_000),
    );
  }

  // Asks a question again whose answer was taken back: next, and then the one that is
  // on the screen.
  putBack(held: Held): void {
    if (this.shown && this.shown !== held) this.queue.unshift(this.shown);
    this.queue.unshift(held);
    this.shown = undefined;
    this.save();
  }

  // Those that are held were taken away.
  drop(): void {
    this.shown = undefined;
    this.queue = [];
    this.save();
    this.wake();
  }

  answered(): void {
    this.shown = undefined;
    this.save();
  }

  private save(): void {
    const held = [...(this.shown ? [this.shown] : []), ...this.queue].map(pack);
    this.tab.keep("held", { held, alive: this.alive, leaseMs: this.leaseMs } satisfies Kept);
  }

  private restore(): void {
    const kept = this.tab.read<Kept>("held");
    if (!kept || Date.now() - kept.alive > kept.leaseMs) return;
    this.queue = kept.held.map(unpack);
    this.leaseMs = kept.leaseMs;
    if (this.queue.length > 0) this.events.arrived();
  }

  private async fill(): Promise<void> {
    while (!this.ended) {
      const wanted = ahead - this.queue.length + (this.shown || this.queue.length === 0 ? 0 : 1);
      if (wanted <= 0 || this.presence.away) {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
          setTimeout(resolve, 2_000);
        });
        continue;
      }
      try {
        // the first answer must come at once: there may be nothing
        const wait = this.asked ? waitMs : 0;
        const response = await this.lease(wait, Math.min(this.atOnce, wanted));
        this.asked = true;
        this.backoff.reset();
        this.events.connection();
        this.take(response);
        if (response.questions.length === 0 && wait > 0) await this.pause(1_500);
      } catch (failure) {
        if (isSignedOut(failure)) return this.events.signedOut();
        if (isFinal(failure)) {
          const text = sentence(failure);
          // they are of a page that was closed, or is open beside this one
          this.events.refused(
            /hold \d+ leases/.test(text)
              ? "Your last pairs are still kept for another page of yours; new ones come within a minute."
              : text,
          );
          await this.pause(5_000);
        } else {
          this.events.connection(failure);
          // clips of many bytes: so many do not fit into one answer
          if (isBusy(failure)) this.atOnce = Math.max(1, this.atOnce >> 1);
          await this.backoff.wait();
        }
      }
    }
  }

  private take(response: LeaseResponse): void {
    const received = Date.now();
    const known = new Set([this.shown, ...this.queue].map((held) => held?.question.leaseId));
    for (const question of response.questions) {
      if (known.has(question.leaseId)) continue;
      this.queue.push({ question, received });
      this.leaseMs = question.leaseMs || this.leaseMs;
      this.alive = received;
    }
    this.save();
    if (response.questions.length > 0) this.events.arrived();
    if (response.questions.length === 0 || response.message) this.events.none(response);
  }

  private pause(ms: number): Promise<void> {
    return Promise.race([sleep(ms), new Promise<void>((resolve) => (this.wake = resolve))]);
  }

  // Somebody is back. True: the questions that they had are no longer leased to them.
  resume(): boolean {
    const lost = this.held && Date.now() - this.alive > this.leaseMs;
    if (lost) {
      this.drop();
    } else if (this.held) {
      void this.renew();
    }
    this.wake();
    return lost;
  }

  private get held(): boolean {
    return this.shown !== undefined || this.queue.length > 0;
  }

  // Keeps the leases alive while somebody is at the page.
  private async beat(): Promise<void> {
    while (!this.ended) {
      await sleep(Math.min(20_000, Math.max(1_000, this.leaseMs / 3)));
      if (!this.ended && !this.presence.away && this.held) await this.renew();
    }
  }

  private async renew(): Promise<void> {
    // the answer may be read only when the machine wakes up again
    const asked = Date.now();
    try {
      await this.service.heartbeat({}, within());
      this.alive = asked;
      this.save();
      this.events.connection();
    } catch (failure) {
      if (isSignedOut(failure)) this.events.signedOut();
      else if (!isFinal(failure)) this.events.connection(failure);
    }
  }
}
