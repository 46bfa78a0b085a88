// What goes wrong around a person at the labeling page, and what the page makes of it.
import { expect, expectChoices, giveToOthers, LabelingPage, test } from "./labeling_support";

interface Point {
  x: number;
  y: number;
}

const lease = "**/backflip.v1.LabelingService/Lease";
const submit = "**/backflip.v1.LabelingService/Submit";

test("whoever has pairs kept for other pages is told so, until new ones come", async ({
  page,
  context,
  stack,
}) => {
  const person = await stack.people({ pairs: 20 });
  const label = new LabelingPage(page);
  await label.open(person);
  const second = await context.newPage();
  await second.goto("/");
  await new LabelingPage(second).pair();
  const ofRun = `state = 'LIVE' AND question_id IN (SELECT id FROM questions WHERE run_id = ${person.run})`;
  await expect.poll(() => stack.value(`SELECT count(*) FROM leases WHERE ${ofRun}`)).toBe("8");
  const third = await context.newPage();
  await third.goto("/");
  const kept = third.getByText(/kept for another page of yours; new ones come within a minute/);
  await expect(kept).toBeVisible();
  await page.close();
  await second.close();
  await stack.value(
    `UPDATE leases SET expires_at = now() - interval '1 hour' WHERE ${ofRun} RETURNING 1`,
  );
  await new LabelingPage(third).pair();
  await expect(kept).toBeHidden();
});

test("who presses buttons without a key or a pointer is there, and may go on after a pause", async ({
  page,
  stack,
}) => {
  const person = await stack.people({ pairs: 12 });
  await page.clock.install();
  const label = new LabelingPage(page);
  await label.open(person);
  const click = (name: "Left" | "Right") =>
    label.choice(name).evaluate((button: HTMLElement) => button.click());
  for (const name of ["Left", "Right", "Left"] as const) {
    await page.clock.fastForward("04:00");
    await label.marking(() => click(name));
  }
  await expectChoices(stack, person.run, ["LEFT", "RIGHT", "LEFT"]);
  await page.clock.fastForward("05:10");
  await expect(page.getByRole("heading", { name: "Paused because nobody is here" })).toBeVisible();
  await page.getByRole("button", { name: "Go on" }).evaluate((b: HTMLElement) => b.click());
  await label.marking(() => click("Right"));
  await expectChoices(stack, person.run, ["LEFT", "RIGHT", "LEFT", "RIGHT"]);
});

test("after a pause that is lifted only pairs that count are asked, and nothing more is said of it", async ({
  page,
  stack,
}) => {
  const person = await stack.people({ pairs: 20 });
  const label = new LabelingPage(page);
  await label.open(person);
  await label.press("ArrowLeft");
  await expectChoices(stack, person.run, ["LEFT"]);
  const state = (state: string) =>
    stack.call("PeopleService/SetLabelerState", {
      name: person.name,
      state,
      reason: "Please read the instructions again.",
    });
  await state("LABELER_PAUSED");
  await label.press("ArrowRight");
  await expect(page.getByRole("heading", { name: "You are paused" })).toBeVisible();
  await label.answers(1);
  await state("ACTIVE");
  await label.pair();
  await expect(page.getByText(/was not stored/)).toBeHidden();
  await label.press("ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp");
  await label.answers(7);
  await expectChoices(stack, person.run, ["LEFT", ...Array(6).fill("TIE")]);
  await expect(page.getByText(/was not stored/)).toBeHidden();
});

test("a remark that was begun for one pair is not sent for another", async ({ page, stack }) => {
  const person = await stack.people({ pairs: 12 });
  await page.clock.install();
  const label = new LabelingPage(page);
  await label.open(person);
  await page.keyboard.press("b");
  await page.getByRole("textbox").fill("the left one hangs");
  await page.clock.fastForward("10:00");
  await expect(
    page.getByRole("heading", { name: "Paused because nobody is here", includeHidden: true }),
  ).toBeVisible();
  await giveToOthers(stack, person.run);
  await page.keyboard.press("x");
  await expect(page.getByRole("dialog")).toBeHidden();
  await page.keyboard.press("Enter");
  await label.press("ArrowUp");
  await expectChoices(stack, person.run, ["TIE"]);
});

test("once there is a connection again the page says at once what it waits for", async ({
  page,
  context,
  stack,
}) => {
  // the call that waits for more is never answered
  await page.route(lease, (route) => {
    const wait20s = Buffer.from([0xa0, 0x9c, 0x01]);
    if (!route.request().postDataBuffer()?.includes(wait20s)) return route.continue();
    return undefined;
  });
  const person = await stack.people({ pairs: 1 });
  const label = new LabelingPage(page);
  await label.open(person);
  await page.route(submit, (route) => route.continue());
  await context.setOffline(true);
  await page.keyboard.press("ArrowLeft");
  await expect(page.getByText("There is no connection. Your answers are kept.")).toBeVisible();
  await context.setOffline(false);
  await expect(page.getByText(/goes on by itself/)).toBeVisible();
  await expectChoices(stack, person.run, ["LEFT"]);
});

test("a browser that takes no cookies gets a sentence before it starts", async ({
  page,
  stack,
}) => {
  await page.addInitScript(() =>
    Object.defineProperty(Navigator.prototype, "cookieEnabled", { get: () => false }),
  );
  const person = await stack.people();
  await page.goto(`/#invite=${person.secret}`);
  await expect(page.getByText(/This browser keeps nothing for this page/)).toBeVisible();
});

test("where the clipboard refuses the code is selected, to be copied by keys", async ({
  page,
  stack,
}) => {
  await page.addInitScript(() =>
    Object.defineProperty(navigator, "clipboard", {
      value: { writeText: () => Promise.reject(new DOMException("", "NotAllowedError")) },
    }),
  );
  const { run } = await stack.people();
  const { secret } = await stack.invite({
    name: `code-${run}`,
    runIds: [run],
    answersWanted: 1,
    group: { cap: 5, completionCode: "C0DE-42" },
  });
  const label = new LabelingPage(page);
  await label.start(`/?PROLIFIC_PID=abc#invite=${secret}`);
  await label.pair();
  await page.keyboard.press("ArrowLeft");
  await page.getByRole("button", { name: "Copy" }).click();
  await expect(page.getByRole("button", { name: "Press Ctrl+C" })).toBeVisible();
  expect(await page.evaluate(() => getSelection()?.toString())).toBe("C0DE-42");
});

test("on a page that runs from right to left the left clip is on the left", async ({
  page,
  stack,
}) => {
  const label = new LabelingPage(page);
  await label.open(await stack.people());
  await page.evaluate(() => document.documentElement.setAttribute("dir", "rtl"));
  for (const pair of [
    [page.getByRole("img").first(), page.getByRole("img").nth(1)],
    [label.choice("Left"), label.choice("Right")],
    [page.getByRole("button", { name: "Slower" }), page.getByRole("button", { name: "Faster" })],
  ] as const) {
    const [left, right] = await Promise.all(pair.map((part) => part.boundingBox()));
    expect(left!.x).toBeLessThan(right!.x);
  }
});

test("a finger scrolls a page that is higher than its window, and turns the clips sideways", async ({
  page,
  stack,
}) => {
  const label = new LabelingPage(page);
  await label.open(await stack.people());
  // as at 400 % on a screen of 1,280 by 1,024
  await page.setViewportSize({ width: 320, height: 256 });
  await expect(page.locator("html.taller")).toBeAttached();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
  const session = await page.context().newCDPSession(page);
  const touch = (type: "touchStart" | "touchMove" | "touchEnd", ...touchPoints: Point[]) =>
    session.send("Input.dispatchTouchEvent", { type, touchPoints });
  const swipe = async (right: number, down: number) => {
    const [x, y] = [160, 180];
    await touch("touchStart", { x, y });
    for (let i = 1; i <= 10; ++i)
      await touch("touchMove", { x: x + (right * i) / 10, y: y + (down * i) / 10 });
    await touch("touchEnd");
  };
  const reset = page.getByRole("button", { name: "Reset view" });
  await swipe(-100, 0);
  await expect(reset).toBeVisible();
  expect(await page.evaluate(() => scrollY)).toBe(0);
  await swipe(0, -100);
  await expect.poll(() => page.evaluate(() => scrollY)).toBeGreaterThan(0);
});
