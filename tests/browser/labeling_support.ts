// A labeler at the page, on a real broker that all tests share.
import { test as base, expect, type Locator, type Page } from "@playwright/test";
import { Stack } from "./stack.mjs";

export { expect };

export interface Person {
  run: number;
  clips: string[];
  name: string;
  secret: string;
}

export const test = base.extend<{ errors: string[] }, { stack: Stack }>({
  stack: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright demands a pattern here
    async ({}, use) => {
      const stack = await Stack.start();
      await use(stack);
      await stack.end();
    },
    { scope: "worker", timeout: 120_000 },
  ],
  baseURL: async ({ stack }, use) => use(stack.url),
  // Nothing that the page's own code does may fail.
  errors: [
    async ({ context, page }, use) => {
      await context.addInitScript(countMarks);
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(error.message));
      await use(errors);
      expect(errors).toEqual([]);
    },
    { auto: true },
  ],
});

declare global {
  interface Window {
    // When a choice was marked, and for how long; of those whose mark has gone.
    marks: { at: number; ms: number }[];
    // How long no pair took an answer between two, where a test counts that.
    waits: number[];
  }
}

// A mark may have gone before a test looks.
function countMarks(): void {
  window.marks = [];
  let since: number | undefined;
  new MutationObserver(() => {
    const marked = document.querySelector('[aria-pressed="true"]') !== null;
    const now = performance.now();
    if (marked) since ??= now;
    else if (since !== undefined) {
      window.marks.push({ at: since, ms: now - since });
      since = undefined;
    }
  }).observe(document, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["aria-pressed"],
  });
}

// The parts of the page, by what a screen reader calls them.
export class LabelingPage {
  constructor(readonly page: Page) {}

  choice(name: "Left" | "Right" | "Same" | "tell" | "Broken"): Locator {
    const names = {
      Left: /^(Left|Upper) is better/,
      Right: /^(Right|Lower) is better/,
      Same: /^Same/,
      tell: /tell/,
      Broken: /^Broken/,
    };
    return this.page.getByRole("button", { name: names[name] });
  }

  get undo(): Locator {
    return this.page.getByRole("button", { name: /^Undo/ });
  }

  get banner(): Locator {
    return this.page.getByRole("alert");
  }

  // From the link to the first question.
  async start(link: string): Promise<void> {
    await this.page.goto(link);
    await this.page.getByRole("button", { name: "Start" }).click();
    await this.page.getByRole("button", { name: "Begin" }).click();
  }

  // From the link to the first pair.
  async open(person: Person): Promise<void> {
    await this.start(`/#invite=${person.secret}`);
    await this.pair();
  }

  // A pair is there to be answered.
  async pair(): Promise<void> {
    await expect(this.choice("Left")).toBeEnabled();
  }

  async answers(count: number): Promise<void> {
    await expect(this.page.getByText(new RegExp(`^${count} answers?$`))).toBeVisible();
  }

  // Does something that marks an answer, and waits until the mark has gone.
  async marking(act: () => Promise<unknown>): Promise<void> {
    await this.pair();
    const before = await this.page.evaluate(() => window.marks.length);
    await act();
    await this.page.waitForFunction((count) => window.marks.length > count, before);
  }

  // Answers by keys, one pair after the other.
  async press(...keys: string[]): Promise<void> {
    for (const key of keys) await this.marking(() => this.page.keyboard.press(key));
  }

  // Keys between which no time passes, by the page's clock, which must have been installed.
  async pressAtOnce(...keys: string[]): Promise<void> {
    await this.marking(async () => {
      await this.page.clock.pauseAt(Date.now() + 10_000);
      await this.page.evaluate(async (keys) => {
        for (const key of keys) {
          document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
          const { port1, port2 } = new MessageChannel();
          await new Promise((resolve) => {
            port1.onmessage = resolve;
            port2.postMessage("");
          });
        }
      }, keys);
      await this.page.clock.resume();
    });
  }
}

// Waits for what the broker has, not for time.
export async function choicesOf(stack: Stack, run: number): Promise<string[]> {
  return (await stack.labels(run)).map((label) => label.answer.choice);
}

// The leases that a run's labelers hold run out of time, and the broker gives their pairs to others.
export async function giveToOthers(stack: Stack, run: number): Promise<void> {
  const live = `state = 'LIVE' AND question_id IN (SELECT id FROM questions WHERE run_id = ${run})`;
  await stack.value(
    `UPDATE leases SET expires_at = now() - interval '1 hour' WHERE ${live} RETURNING 1`,
  );
  await expect.poll(() => stack.value(`SELECT count(*) FROM leases WHERE ${live}`)).toBe("0");
}

export async function expectChoices(stack: Stack, run: number, choices: string[]): Promise<void> {
  await expect.poll(() => choicesOf(stack, run)).toEqual(choices);
}
