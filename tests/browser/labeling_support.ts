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
    async ({ page }, use) => {
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(error.message));
      await use(errors);
      expect(errors).toEqual([]);
    },
    { auto: true },
  ],
});

// The parts of the page, by what a screen reader calls them.
export class LabelingPage {
  constructor(readonly page: Page) {}

  choice(name: "Left" | "Right" | "Same" | "tell" | "Broken"): Locator {
    const names = { Left: /^(Left|Upper) is better/, Right: /^(Right|Lower) is better/, Same: /^Same/, tell: /tell/, Broken: /^Broken/ };
    return this.page.getByRole("button", { name: names[name] });
  }

  get undo(): Locator {
    return this.page.getByRole("button", { name: /^Undo/ });
  }

  get banner(): Locator {
    return this.page.getByRole("alert");
  }

  // From the link to the first pair.
  async open(person: Person): Promise<void> {
    await this.page.goto(`/#invite=${person.secret}`);
    await this.page.getByRole("button", { name: "Start" }).click();
    await this.pair();
  }

  // A pair is there to be answered.
  async pair(): Promise<void> {
    await expect(this.choice("Left")).toBeEnabled();
  }

  async answers(count: number): Promise<void> {
    await expect(this.page.getByText(new RegExp(`^${count} answers?$`))).toBeVisible();
  }

  // Answers by keys; each is sent and the next pair there before the next key.
  async press(...keys: string[]): Promise<void> {
    for (const key of keys) {
      await this.pair();
      await expect(this.choice("Left")).toHaveAttribute("aria-pressed", "false");
      await this.page.keyboard.press(key);
      await expect(this.page.locator('[aria-pressed="true"]')).toHaveCount(1);
      await expect(this.page.locator('[aria-pressed="true"]')).toHaveCount(0);
    }
  }
}

// Waits for what the broker has, not for time.
export async function choicesOf(stack: Stack, run: number): Promise<string[]> {
  return (await stack.labels(run)).map((label) => label.answer.choice);
}

export async function expectChoices(stack: Stack, run: number, choices: string[]): Promise<void> {
  await expect.poll(() => choicesOf(stack, run)).toEqual(choices);
}
