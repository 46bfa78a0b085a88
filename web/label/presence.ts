// Whether somebody is at the page. Once they have left, nothing is asked for them:
// their leases end, and their waiting is not paid.

// After this long without a key, a press, a touch or a move of the pointer they have left.
const awayMs = 5 * 60_000;
// The page may be behind others for this long: the person may look something up.
const hiddenMs = 60_000;
const lookMs = 2_000;

export class Presence {
  // Called once each time.
  onAway: () => void = () => {};
  onBack: () => void = () => {};
  private lastInput = Date.now();
  private hiddenSince?: number;
  private told = false;

  constructor() {
    // (assistive software may press buttons without a key or a pointer)
    for (const kind of [
      "keydown",
      "pointerdown",
      "pointermove",
      "touchstart",
      "wheel",
      "click",
      "focusin",
    ]) {
      addEventListener(kind, (event) => this.input(event), {
        passive: kind !== "keydown",
        capture: true,
      });
    }
    addEventListener("focus", () => this.input());
    document.addEventListener("visibilitychange", () => this.seen());
    this.seen();
    setInterval(() => this.look(), lookMs);
  }

  // By the time of day, since browsers seldom wake a hidden page.
  get away(): boolean {
    const now = Date.now();
    return (
      now - this.lastInput > awayMs ||
      (this.hiddenSince !== undefined && now - this.hiddenSince > hiddenMs)
    );
  }

  // Milliseconds since somebody did something.
  get idle(): number {
    return Date.now() - this.lastInput;
  }

  private seen(): void {
    if (document.visibilityState === "hidden") {
      this.hiddenSince ??= Date.now();
    } else {
      this.look();
      this.hiddenSince = undefined;
      this.input();
    }
  }

  private look(): void {
    if (!this.away || this.told) return;
    this.told = true;
    this.onAway();
  }

  private input(event?: Event): void {
    this.look();
    this.lastInput = Date.now();
    if (!this.told || this.away) return;
    this.told = false;
    // the key that wakes the page must not answer
    if (event?.type === "keydown") {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
    this.onBack();
  }
}
