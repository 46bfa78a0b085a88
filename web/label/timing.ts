// How long a decision took, and for how much of that time somebody was at the page.

import { create } from "@bufbuild/protobuf";
import { type Timing, TimingSchema } from "backflip/v1/label_pb";
import type { Presence } from "./presence";

// After this long without a key, a touch or a move of the pointer nobody is there.
const idleMs = 30_000;
const sampleMs = 250;

export class Stopwatch {
  private movedAt?: number;
  private active = 0;
  private sampled = performance.now();

  constructor(private readonly presence: Presence) {
    document.addEventListener("visibilitychange", () => this.sample());
    setInterval(() => this.sample(), sampleMs);
  }

  private wasThere = true;
  private sample(): void {
    const now = performance.now();
    // a page in the background is not asked often: what passed there is lost
    if (this.wasThere && this.movedAt !== undefined) {
      this.active += Math.min(now - this.sampled, 4 * sampleMs);
    }
    this.sampled = now;
    this.wasThere =
      document.visibilityState === "visible" && document.hasFocus() && this.presence.idle < idleMs;
  }

  // A new question; its clips have not moved.
  reset(): void {
    this.movedAt = undefined;
    this.active = 0;
  }

  moved(): void {
    this.sample();
    this.movedAt = performance.now();
    this.active = 0;
  }

  // Milliseconds, as label.proto says. `received` by Date.now().
  read(received: number, loops: number): Timing {
    this.sample();
    const since = this.movedAt === undefined ? 0 : performance.now() - this.movedAt;
    const limit = (ms: number) => Math.max(0, Math.min(2 ** 31 - 1, Math.round(ms)));
    return create(TimingSchema, {
      decisionMs: limit(since),
      activeMs: limit(Math.min(since, this.active)),
      loops,
      firstPlayedMs: limit(Date.now() - received - since),
    });
  }
}
