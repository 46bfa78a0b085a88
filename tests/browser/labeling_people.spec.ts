// Ways to the labeling page and away from it: platforms and their links, keyboards of other
// countries, browsers that keep nothing, and several people at one browser.
import type { Browser, Page } from "@playwright/test";
import { expect, expectChoices, LabelingPage, test } from "./labeling_support";
import type { Stack } from "./stack.mjs";

const submit = "**/backflip.v1.LabelingService/Submit";

async function crowd(stack: Stack, group: object = {}, invite: object = {}) {
  const { run } = await stack.people();
  const { secret, inviteId } = await stack.invite({
    name: `crowd-${run}`,
    runIds: [run],
    group: { cap: 5, ...group },
    ...invite,
  });
  return { run, secret, inviteId };
}

// As somebody else's browser.
async function elsewhere(browser: Browser, act: (page: Page) => Promise<void>): Promise<void> {
  const context = await browser.newContext();
  await act(await context.newPage());
  await context.close();
}

const outsideIds = (stack: Stack, run: number) =>
  stack.value(`SELECT string_agg(outside_id, ',' ORDER BY id) FROM callers
    WHERE outside_id IS NOT NULL AND ${run} = ANY (run_ids)`);

test.describe("links of platforms", () => {
  for (const [what, link] of [
    ["Prolific, parameters before the #", "/?PROLIFIC_PID=abc&STUDY_ID=d&SESSION_ID=e#invite=KEY"],
    ["Prolific, parameters at the end", "/#invite=KEY?PROLIFIC_PID=abc&STUDY_ID=d&SESSION_ID=e"],
    ["MTurk", "/?assignmentId=x&hitId=y&workerId=abc#invite=KEY"],
    ["Toloka", "/#invite=KEY&worker_id=abc"],
  ] as const) {
    test(`the id comes with the link: ${what}`, async ({ page, stack }) => {
      const { run, secret } = await crowd(stack);
      await page.goto(link.replace("KEY", secret));
      await expect(page.getByRole("textbox")).toHaveValue("abc");
      await page.getByRole("button", { name: "Start" }).click();
      await expect(page.getByRole("button", { name: "Begin" })).toBeVisible();
      expect(await outsideIds(stack, run)).toBe("abc");
      const address = new URL(page.url());
      expect(address.search + address.hash).toBe("");
    });
  }

  test("a link that the platform has not filled in is refused with a sentence", async ({
    page,
    stack,
  }) => {
    const { run, secret } = await crowd(stack);
    for (const id of [
      "{{%PROLIFIC_PID%}}",
      "%24{workerId}",
      "PARTICIPANT_ID",
      "YOUR_PROLIFIC_ID",
      "__ID__",
      ":id",
      "NaN",
    ]) {
      await page.goto(`/?PROLIFIC_PID=${id}#invite=${secret}`);
      await page.getByRole("button", { name: "Start" }).click();
      await expect(page.getByRole("alert")).toContainText("is no id, but a placeholder");
      await page.goto("about:blank");
    }
    expect(await outsideIds(stack, run)).toBe("");
  });

  test("MTurk's preview shows the page and starts nothing", async ({ page, stack }) => {
    const { run, secret } = await crowd(stack, { price: "2 USD" });
    await page.goto(`/?assignmentId=ASSIGNMENT_ID_NOT_AVAILABLE&hitId=y#invite=${secret}`);
    await expect(page.getByText("2 USD")).toBeVisible();
    await expect(page.getByText(/This is a preview/)).toBeVisible();
    await expect(page.getByRole("button", { name: "Start" })).toHaveCount(0);
    expect(await outsideIds(stack, run)).toBe("");
  });

  test("a full group says so, and lets in when its cap is raised", async ({ page, stack }) => {
    const { secret, inviteId } = await crowd(stack, { cap: 1 });
    await elsewhere(page.context().browser()!, async (other) => {
      await new LabelingPage(other).start(`${stack.url}/?PROLIFIC_PID=first#invite=${secret}`);
    });
    await page.goto(`/?PROLIFIC_PID=second#invite=${secret}`);
    await page.getByRole("button", { name: "Start" }).click();
    await expect(page.getByRole("alert")).toContainText("This group is full");
    await stack.call("PeopleService/SetInviteCap", { inviteId, cap: 2 });
    await page.getByRole("button", { name: "Start" }).click();
    await expect(page.getByRole("button", { name: "Begin" })).toBeVisible();
  });

  test("an id that has started goes on in its own browser alone", async ({ page, stack }) => {
    const { run, secret } = await crowd(stack);
    const link = `${stack.url}/?PROLIFIC_PID=abc#invite=${secret}`;
    const label = new LabelingPage(page);
    await label.start(link);
    await label.press("ArrowLeft");
    await expectChoices(stack, run, ["LEFT"]);
    await elsewhere(page.context().browser()!, async (other) => {
      await other.goto(link);
      await other.getByRole("button", { name: "Start" }).click();
      await expect(other.getByRole("alert")).toContainText("has started with this id already");
    });
    await page.goto("about:blank");
    await page.goto(link);
    await page.getByRole("button", { name: "Start" }).click();
    await label.answers(1);
  });

  test("a Start whose answer was lost is the same Start after a reload", async ({
    page,
    stack,
  }) => {
    const { secret } = await crowd(stack);
    const accept = "**/backflip.v1.PeopleService/AcceptInvite";
    await page.route(accept, async (route) => {
      await route.fetch();
      await route.abort();
    });
    await page.goto(`/?PROLIFIC_PID=abc#invite=${secret}`);
    await page.getByRole("button", { name: "Start" }).click();
    await expect(page.getByRole("alert")).toContainText("The server does not answer");
    await page.unroute(accept);
    await page.reload();
    await page.getByRole("button", { name: "Start" }).click();
    await expect(page.getByRole("button", { name: "Begin" })).toBeVisible();
  });

  test("after the completion code the page goes on to the platform by itself, unless told to stay", async ({
    page,
    context,
    stack,
  }) => {
    await context.route("https://platform.example/**", (route) =>
      route.fulfill({ contentType: "text/html", body: "<title>Back</title>" }),
    );
    const redirectUrl = "https://platform.example/done?cc=C0DE";
    const { run, secret } = await crowd(
      stack,
      { completionCode: "C0DE", redirectUrl },
      { answersWanted: 1 },
    );
    const label = new LabelingPage(page);
    await label.start(`/?PROLIFIC_PID=abc#invite=${secret}`);
    await label.press("ArrowLeft");
    await expect(page.getByText("C0DE", { exact: true })).toBeVisible();
    await expect(page.getByRole("link", { name: "Go on to platform.example" })).toHaveAttribute(
      "href",
      redirectUrl,
    );
    await page.getByRole("button", { name: "Stay here" }).click();
    await expect(page.getByText(/You go on to platform.example in/)).toHaveCount(0);
    await page.reload();
    await page.waitForURL(redirectUrl);
    await expectChoices(stack, run, ["LEFT"]);
  });
});

test("who misses the pass mark reads why, tries again, and is then paused", async ({
  page,
  stack,
}) => {
  const person = await stack.people({
    spec: "quality { qualification: 1 qualification_pass_mark: 1 }",
  });
  await stack.call("ReviewService/AddGold", {
    runId: person.run,
    clipIds: person.clips.slice(0, 2),
    answer: "LEFT",
    use: "QUALIFY",
  });
  await page.goto(`/#invite=${person.secret}`);
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByRole("button", { name: "Try it yourself" }).click();
  const label = new LabelingPage(page);
  for (const words of [/Here is another try/, /That was the last try/]) {
    await label.pair();
    await page.keyboard.press("ArrowUp");
    await expect(page.getByText(/Not quite\./)).toBeVisible();
    await page.keyboard.press("Enter");
    await expect(page.getByText(words).first()).toBeVisible();
  }
  await expect(page.getByRole("heading", { name: "You are paused" })).toBeVisible();
});

test.describe("keyboards", () => {
  // As a browser tells of a key on another keyboard.
  const type = (page: Page, init: KeyboardEventInit) =>
    page.evaluate(
      (keys) =>
        document.body.dispatchEvent(new KeyboardEvent("keydown", { ...keys, bubbles: true })),
      init,
    );

  test("keys of other alphabets and countries answer by their place", async ({ page, stack }) => {
    const person = await stack.people();
    const label = new LabelingPage(page);
    await label.open(person);
    for (const init of [
      { key: "&", code: "Digit1" }, // French
      { key: "é", code: "Digit2" },
      { key: "ы", code: "KeyS" }, // Russian
      { key: "σ", code: "KeyS" }, // Greek
    ]) {
      await label.marking(() => type(page, init));
    }
    await expectChoices(stack, person.run, ["LEFT", "RIGHT", "CANNOT_TELL", "CANNOT_TELL"]);
    await label.pair();
    await type(page, { key: "я", code: "KeyZ" });
    await expectChoices(stack, person.run, ["LEFT", "RIGHT", "CANNOT_TELL"]);
  });

  test("AltGr types signs, and neither it nor composing answers anything", async ({
    page,
    stack,
  }) => {
    const person = await stack.people();
    const label = new LabelingPage(page);
    await label.open(person);
    const altGr = { ctrlKey: true, altKey: true, modifierAltGraph: true };
    await type(page, { key: "ś", code: "KeyS", ...altGr }); // Polish
    await type(page, { key: "1", code: "Digit1", ...altGr });
    await type(page, { key: "s", code: "KeyS", isComposing: true });
    await type(page, { key: "Process", code: "KeyS" });
    await type(page, { key: "[", code: "Digit8", ...altGr }); // German
    await expect(page.getByText("0.75×")).toBeVisible();
    await expect(label.choice("tell")).toHaveAttribute("aria-pressed", "false");
    await label.press("ArrowRight");
    await expectChoices(stack, person.run, ["RIGHT"]);
  });
});

test.describe("browsers and who is at them", () => {
  test("a browser that keeps nothing gets a sentence, and answers", async ({ page, stack }) => {
    await page.addInitScript(() => {
      for (const name of ["localStorage", "sessionStorage"]) {
        Object.defineProperty(window, name, {
          get() {
            throw new DOMException("Access is denied for this document.", "SecurityError");
          },
        });
      }
      Object.defineProperty(navigator, "locks", {
        value: { request: () => Promise.reject(new DOMException("", "SecurityError")) },
      });
    });
    const person = await stack.people();
    await page.goto(`/#invite=${person.secret}`);
    await expect(page.getByText(/This browser keeps nothing for this page/)).toBeVisible();
    await page.getByRole("button", { name: "Start" }).click();
    await page.getByRole("button", { name: "Begin" }).click();
    const label = new LabelingPage(page);
    await label.press("ArrowLeft", "ArrowRight");
    await expectChoices(stack, person.run, ["LEFT", "RIGHT"]);
    await page.reload();
    await expect(page.getByText(/Open the link that you were sent/)).toBeVisible();
  });

  test("what one person has not sent goes out as theirs before another starts", async ({
    page,
    stack,
  }) => {
    const person = await stack.people();
    const label = new LabelingPage(page);
    await label.open(person);
    await page.route(submit, (route) => route.abort());
    await label.press("ArrowLeft");
    await expect(page.getByText(/1 answer is kept and will be sent/)).toBeVisible();
    const { secret } = await stack.invite({ name: `bob-${person.run}`, runIds: [person.run] });
    await page.goto("about:blank");
    await page.goto(`/#invite=${secret}`);
    await page.getByRole("button", { name: "Start" }).click();
    await expect(page.getByRole("alert")).toContainText(`Answers of ${person.name} are not sent`);
    await page.unroute(submit);
    await page.getByRole("button", { name: "Start" }).click();
    await page.getByRole("button", { name: "Begin" }).click();
    await label.press("ArrowRight");
    await expectChoices(stack, person.run, ["LEFT", "RIGHT"]);
    expect((await stack.labels(person.run)).map(({ labeler }) => labeler)).toEqual([
      person.name,
      `bob-${person.run}`,
    ]);
  });

  test("a server that is busy is not called a lost connection", async ({ page, stack }) => {
    const person = await stack.people({ pairs: 2 });
    const label = new LabelingPage(page);
    await label.open(person);
    await page.route(submit, (route) =>
      route.fulfill({
        status: 429,
        contentType: "application/json",
        body: JSON.stringify({ code: "resource_exhausted", message: "the broker is busy" }),
      }),
    );
    await label.press("ArrowLeft");
    await expect(page.getByText(/The server is busy: 1 answer is kept/)).toBeVisible();
    await page.unroute(submit);
    await expectChoices(stack, person.run, ["LEFT"]);
  });
});
