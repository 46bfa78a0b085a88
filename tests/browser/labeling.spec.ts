// The labeling page on the real broker: what a person does at it, and what may
// happen to them meanwhile.
import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import {
  choicesOf,
  expect,
  expectChoices,
  giveToOthers,
  LabelingPage,
  test,
} from "./labeling_support";

const submit = "**/backflip.v1.LabelingService/Submit";

async function expectNoViolations(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(
    violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join("; ")}`),
  ).toEqual([]);
}

// The canvas as drawn: a sum that changes when the picture does.
async function picture(page: Page): Promise<string> {
  return (await page.locator(".panels").first().screenshot()).toString("base64");
}

// Calls of the labeling service from now on, and how many are under way.
function callsOf(page: Page): { all: string[]; open: number } {
  const calls = { all: [] as string[], open: 0 };
  const under = new Set<object>();
  page.on("request", (request) => {
    const [, method] = /LabelingService\/(\w+)$/.exec(request.url()) ?? [];
    if (!method) return;
    calls.all.push(method);
    under.add(request);
    calls.open = under.size;
  });
  for (const end of ["requestfinished", "requestfailed"] as const) {
    page.on(end as "requestfinished", (request) => {
      under.delete(request);
      calls.open = under.size;
    });
  }
  return calls;
}

test.describe("the way in", () => {
  test("a link says what it is, and opening it uses nothing up", async ({ page, stack }) => {
    const person = await stack.people({ invite: { answersWanted: 5 } });
    for (let i = 0; i < 2; ++i) {
      await page.goto(`/#invite=${person.secret}`);
      await expect(page.getByText("Which clip comes closer to a backflip?")).toBeVisible();
      await expect(page.getByText("5 answers")).toBeVisible();
      await page.goto("about:blank");
    }
    const label = new LabelingPage(page);
    await label.open(person);
    expect(new URL(page.url()).hash).toBe("");
  });

  test("a used link and one that never was are told apart from a lost connection", async ({
    page,
    context,
    stack,
  }) => {
    const person = await stack.people();
    await new LabelingPage(page).open(person);
    const other = await (await context.browser()!.newContext()).newPage();
    await other.goto(`${stack.url}/#invite=${person.secret}`);
    await expect(other.getByRole("heading", { name: "This link does not work" })).toBeVisible();
    await other.goto("about:blank");
    await other.goto(`${stack.url}/#invite=${"x".repeat(43)}`);
    await expect(other.getByRole("heading", { name: "This link does not work" })).toBeVisible();
    await other.context().close();
  });

  test("a group link shows consent and pay, and makes one labeler for each id", async ({
    page,
    stack,
  }) => {
    const { run } = await stack.people();
    const { secret } = await stack.invite({
      name: `crowd-${run}`,
      runIds: [run],
      answersWanted: 2,
      group: {
        cap: 5,
        consent: "You may stop at any time.\n\n<b>No data</b> about you is kept.",
        price: "12 EUR an hour, waiting counts",
        completionCode: "C0DE-42",
      },
    });
    await page.goto(`/?PROLIFIC_PID=abc123#invite=${secret}`);
    await expect(page.getByText("12 EUR an hour, waiting counts")).toBeVisible();
    await expect(page.getByText("<b>No data</b> about you is kept.")).toBeVisible();
    await expect(page.getByRole("textbox")).toHaveValue("abc123");
    await page.getByRole("button", { name: "Start" }).click();
    await page.getByRole("button", { name: "Begin" }).click();
    const label = new LabelingPage(page);
    await label.press("ArrowLeft");
    await label.pair();
    await page.keyboard.press("ArrowRight");
    await expect(page.getByRole("heading", { name: "Your session is complete" })).toBeVisible();
    await expect(page.getByText("C0DE-42", { exact: true })).toBeVisible();
  });

  test("without a link there is a sentence, and no question", async ({ page }) => {
    await page.goto("/");
    await expect(page.getByText(/Open the link that you were sent/)).toBeVisible();
  });
});

test.describe("answers", () => {
  test("every key gives its answer", async ({ page, stack }) => {
    const person = await stack.people({ pairs: 12 });
    const label = new LabelingPage(page);
    await label.open(person);
    await label.press("ArrowLeft", "1", "ArrowRight", "2", "ArrowUp", "0", "ArrowDown", "s");
    await expectChoices(stack, person.run, [
      "LEFT",
      "LEFT",
      "RIGHT",
      "RIGHT",
      "TIE",
      "TIE",
      "CANNOT_TELL",
      "CANNOT_TELL",
    ]);
    await label.answers(8);
  });

  test("every answer is a button, too, and says so", async ({ page, stack }) => {
    const person = await stack.people();
    const label = new LabelingPage(page);
    await label.open(person);
    for (const name of ["Left", "Right", "Same", "tell"] as const) {
      await label.marking(() => label.choice(name).click());
    }
    await expectChoices(stack, person.run, ["LEFT", "RIGHT", "TIE", "CANNOT_TELL"]);
  });

  test("a broken pair takes a remark, which stays text", async ({ page, stack }) => {
    const person = await stack.people();
    const label = new LabelingPage(page);
    await label.open(person);
    await page.keyboard.press("b");
    await page.getByRole("textbox").fill('<img src=x onerror="alert(1)"> the floor is gone');
    await page.keyboard.press("Enter");
    await expectChoices(stack, person.run, ["BROKEN"]);
    expect((await stack.labels(person.run))[0].note).toBe(
      '<img src=x onerror="alert(1)"> the floor is gone',
    );
  });

  test("a choice stays marked for a moment, and a second press skips that", async ({
    page,
    stack,
  }) => {
    await page.clock.install();
    const person = await stack.people();
    const label = new LabelingPage(page);
    await label.open(person);
    await label.press("ArrowLeft");
    await label.pair();
    await label.pressAtOnce("ArrowRight", "ArrowRight");
    const [slow, fast] = await page.evaluate(() => window.marks);
    expect(slow!.ms).toBeGreaterThan(330);
    expect(fast!.ms).toBe(0);
    await expectChoices(stack, person.run, ["LEFT", "RIGHT"]);
  });

  test("another key while a choice is marked corrects it", async ({ page, stack }) => {
    await page.clock.install();
    const person = await stack.people();
    const label = new LabelingPage(page);
    await label.open(person);
    await label.pressAtOnce("ArrowLeft", "ArrowRight");
    await expectChoices(stack, person.run, ["RIGHT"]);
  });

  test("undo takes back what is marked, and what was sent", async ({ page, stack }) => {
    await page.clock.install();
    const person = await stack.people();
    const label = new LabelingPage(page);
    await label.open(person);
    await label.pressAtOnce("ArrowLeft", "z");
    expect(await choicesOf(stack, person.run)).toEqual([]);
    await label.press("ArrowLeft", "ArrowLeft");
    await expectChoices(stack, person.run, ["LEFT", "LEFT"]);
    await page.keyboard.press("z");
    await expectChoices(stack, person.run, ["LEFT"]);
    await label.press("ArrowUp");
    await expectChoices(stack, person.run, ["LEFT", "TIE"]);
    expect((await stack.labels(person.run))[1].undoCount).toBe(1);
    await label.answers(2);
  });

  test("a pair that must be seen takes no answer before, and says why", async ({ page, stack }) => {
    const person = await stack.people({ spec: "quality { must_play_once: true }" });
    const label = new LabelingPage(page);
    await label.open(person);
    // stepping back from the first pose is no way to have seen the last
    for (let i = 0; i < 60; ++i) await page.keyboard.press(",");
    await page.keyboard.press("ArrowLeft");
    await expect(page.getByText(/Watch each clip to its end first/)).toBeVisible();
    await expect(label.choice("Left")).toHaveAttribute("aria-pressed", "false");
    await page.keyboard.press("Space");
    await expect(page.getByText(/Watch each clip to its end/)).toHaveCount(0);
    await page.keyboard.press("ArrowLeft");
    await expectChoices(stack, person.run, ["LEFT"]);
    const { timing } = (await stack.labels(person.run))[0];
    expect(timing.decisionMs).toBeGreaterThan(1200);
    expect(timing.activeMs).toBeGreaterThan(0);
    expect(timing.activeMs).toBeLessThanOrEqual(timing.decisionMs);
    expect(timing.firstPlayedMs).toBeGreaterThanOrEqual(0);
  });

  test("the player's keys pause, step and change the speed; help lists them", async ({
    page,
    stack,
  }) => {
    const person = await stack.people();
    await new LabelingPage(page).open(person);
    await page.keyboard.press("Space");
    await expect(page.getByRole("button", { name: "Play", exact: true })).toBeVisible();
    const still = await picture(page);
    expect(await picture(page)).toBe(still);
    await page.keyboard.press(".");
    await expect.poll(() => picture(page)).not.toBe(still);
    await page.keyboard.press("[");
    await expect(page.getByText("0.75×")).toBeVisible();
    await page.keyboard.press("]");
    await expect(page.getByText("1×", { exact: true })).toBeVisible();
    await page.keyboard.press("?");
    await expect(page.getByRole("dialog")).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("dialog")).toHaveCount(0);
    expect(await choicesOf(stack, person.run)).toEqual([]);
  });

  test("dragging turns both clips, and answers nothing", async ({ page, stack }) => {
    const person = await stack.people();
    await new LabelingPage(page).open(person);
    await page.keyboard.press("Space");
    const before = await picture(page);
    const box = (await page.getByRole("img", { name: /Left clip/ }).boundingBox())!;
    await page.mouse.move(box.x + 100, box.y + 100);
    await page.mouse.down();
    await page.mouse.move(box.x + 220, box.y + 130, { steps: 4 });
    await page.mouse.up();
    await expect.poll(() => picture(page)).not.toBe(before);
    await page.getByRole("button", { name: "Reset view" }).click();
    await expect.poll(() => picture(page)).toBe(before);
  });
});

test.describe("what may happen meanwhile", () => {
  test("a reload in the middle goes on with the same pairs and loses nothing", async ({
    page,
    stack,
  }) => {
    const person = await stack.people({ pairs: 4 });
    const label = new LabelingPage(page);
    await label.open(person);
    await label.press("ArrowLeft");
    await page.reload();
    await label.press("ArrowRight", "ArrowRight", "ArrowRight");
    await expectChoices(stack, person.run, ["LEFT", "RIGHT", "RIGHT", "RIGHT"]);
    await expect(page.getByRole("heading", { level: 2 })).toBeVisible();
  });

  test("after a reload undo takes the last answers back, one after the other", async ({
    page,
    stack,
  }) => {
    const person = await stack.people({ pairs: 8 });
    const label = new LabelingPage(page);
    await label.open(person);
    await label.press("ArrowLeft", "ArrowRight", "ArrowRight");
    await expectChoices(stack, person.run, ["LEFT", "RIGHT", "RIGHT"]);
    await page.reload();
    await label.pair();
    await page.keyboard.press("z");
    await page.keyboard.press("z");
    await expectChoices(stack, person.run, ["LEFT"]);
    await label.answers(1);
    // also where what was taken back is not answered yet
    await page.reload();
    await label.press("ArrowUp", "0", "ArrowLeft");
    await expectChoices(stack, person.run, ["LEFT", "TIE", "TIE", "LEFT"]);
    const labels = await stack.labels(person.run);
    expect(labels.map(({ undoCount = 0 }) => undoCount)).toEqual([0, 1, 1, 0]);
    expect(new Set(labels.map(({ questionId }) => questionId)).size).toBe(4);
  });

  test("an answer that was not acknowledged before a reload is taken back whether it was stored or not", async ({
    page,
    stack,
  }) => {
    const person = await stack.people({ pairs: 8 });
    const label = new LabelingPage(page);
    await label.open(person);
    let stored = 0;
    await page.route(submit, async (route) => {
      if (stored++ === 0) await route.fetch();
      await route.abort();
    });
    await label.press("ArrowLeft");
    await expectChoices(stack, person.run, ["LEFT"]);
    await label.press("ArrowRight"); // never reaches the broker
    await page.reload();
    await label.pair();
    await page.keyboard.press("z");
    await page.keyboard.press("z");
    await page.unroute(submit);
    await expectChoices(stack, person.run, []);
    await label.press("ArrowUp", "ArrowUp");
    await expectChoices(stack, person.run, ["TIE", "TIE"]);
    await expect(page.getByText(/was not stored/)).toHaveCount(0);
  });

  test("nobody takes back what another person answered in the same tab", async ({
    page,
    stack,
  }) => {
    const person = await stack.people({ pairs: 8 });
    const label = new LabelingPage(page);
    await label.open(person);
    await label.press("ArrowLeft");
    await expectChoices(stack, person.run, ["LEFT"]);
    const kept = await page.evaluate(() => ({ ...sessionStorage }));
    await page.getByRole("button", { name: "Sign out" }).click();
    await expect(page.getByRole("heading", { name: "You are signed out" })).toBeVisible();
    expect(await page.evaluate(() => Object.keys(sessionStorage))).toEqual(["backflip.tab"]);
    // even where it was not cleared away
    await page.evaluate((items) => {
      for (const [key, value] of Object.entries(items)) sessionStorage.setItem(key, value);
    }, kept);
    const { secret } = await stack.invite({ name: `bob-${person.run}`, runIds: [person.run] });
    await page.goto(`/#invite=${secret}`);
    await page.getByRole("button", { name: "Start" }).click();
    await page.getByRole("button", { name: "Begin" }).click();
    await label.pair();
    await expect(label.undo).toBeDisabled();
    await page.keyboard.press("z");
    await expect(page.getByText("There is no answer to take back.")).toBeVisible();
    await expectChoices(stack, person.run, ["LEFT"]);
  });

  test("answers without a connection are kept over a reload and sent once", async ({
    page,
    context,
    stack,
  }) => {
    const person = await stack.people({ pairs: 8 });
    const label = new LabelingPage(page);
    await label.open(person);
    await label.press("ArrowLeft");
    await expectChoices(stack, person.run, ["LEFT"]);
    await page.route("**/backflip.v1.*/*", (route) => route.abort());
    await label.press("ArrowRight", "ArrowUp");
    await expect(page.getByText(/2 answers are kept and will be sent/)).toBeVisible();
    expect(await choicesOf(stack, person.run)).toEqual(["LEFT"]);
    await page.reload();
    await page.unroute("**/backflip.v1.*/*");
    await expectChoices(stack, person.run, ["LEFT", "RIGHT", "TIE"]);
    await label.pair();
    await context.setOffline(true);
    await expect(page.getByText(/No connection/)).toBeVisible();
    await context.setOffline(false);
    await expect(page.getByText(/No connection/)).toHaveCount(0);
  });

  test("an answer that was stored but not acknowledged is stored once", async ({ page, stack }) => {
    const person = await stack.people();
    const label = new LabelingPage(page);
    await label.open(person);
    let lost = 0;
    await page.route(submit, async (route) => {
      if (lost++ > 1) return route.continue();
      await route.fetch();
      await route.abort();
    });
    await label.press("ArrowLeft");
    await expect.poll(() => lost).toBeGreaterThan(2);
    await expect(page.getByText(/No connection/)).toHaveCount(0);
    await expectChoices(stack, person.run, ["LEFT"]);
  });

  test("a broker that goes and comes back loses no answer", async ({ page, stack }) => {
    const person = await stack.people({ pairs: 8 });
    const label = new LabelingPage(page);
    await label.open(person);
    await stack.command("stop");
    await label.press("ArrowRight", "ArrowLeft");
    await expect(page.getByText(/No connection/)).toBeVisible();
    await stack.command("start");
    await expectChoices(stack, person.run, ["RIGHT", "LEFT"]);
    await expect(page.getByText(/No connection/)).toHaveCount(0);
  });

  test("behind round trips of 300 ms the next pair is up at once, and no answer is lost", async ({
    page,
    stack,
  }) => {
    const near = 5;
    const far = 15;
    const person = await stack.people({ pairs: near + far + 5 });
    const label = new LabelingPage(page);
    await label.open(person);
    // from when the mark of an answer goes until the next pair takes one
    await page.evaluate(() => {
      const button = [...document.querySelectorAll<HTMLButtonElement>(".choices button")][0]!;
      window.waits = [];
      let since: number | undefined;
      new MutationObserver(() => {
        const marked = document.querySelector('[aria-pressed="true"]') !== null;
        if (button.disabled && !marked) since ??= performance.now();
        if (!button.disabled && since !== undefined) {
          window.waits.push(performance.now() - since);
          since = undefined;
        }
      }).observe(document.body, {
        subtree: true,
        attributes: true,
        attributeFilter: ["aria-pressed", "disabled"],
      });
    });
    const given: string[] = [];
    const answer = async (pairs: number) => {
      for (let i = 0; i < pairs; ++i) {
        await page.waitForTimeout(600); // somebody quick
        const [key, choice] = [
          ["ArrowLeft", "LEFT"],
          ["ArrowRight", "RIGHT"],
          ["ArrowUp", "TIE"],
        ][i % 3]!;
        await label.press(key!);
        given.push(choice!);
      }
      await label.pair();
    };
    await answer(near);
    const network = await page.context().newCDPSession(page);
    await network.send("Network.enable");
    await network.send("Network.emulateNetworkConditions", {
      offline: false,
      latency: 300,
      downloadThroughput: -1,
      uploadThroughput: -1,
    });
    expect(
      await page.evaluate(async () => {
        const begin = performance.now();
        await fetch("/", { cache: "no-store" });
        return performance.now() - begin;
      }),
    ).toBeGreaterThan(299);
    await answer(far);
    await expectChoices(stack, person.run, given);
    const waits = await page.evaluate(() => window.waits);
    expect(waits).toHaveLength(near + far);
    // what this machine takes to show a pair, and no round trip more
    const usual = waits.splice(0, near);
    const median = (of: number[]) => of.sort((a, b) => a - b)[Math.floor(of.length / 2)]!;
    expect(median(waits)).toBeLessThan(median(usual) + 100);
    expect(waits.at(-1)!).toBeLessThan(usual.at(-1)! + 300);
    await label.answers(near + far);
    await expect(page.getByText(/No connection/)).toHaveCount(0);
  });

  test("two tabs of one person never show the same pair", async ({ page, context, stack }) => {
    const person = await stack.people({ pairs: 10 });
    const label = new LabelingPage(page);
    await label.open(person);
    const second = await context.newPage();
    await second.goto("/");
    const other = new LabelingPage(second);
    await other.press("ArrowRight", "ArrowRight");
    await label.press("ArrowLeft", "ArrowLeft");
    await expect
      .poll(async () => (await choicesOf(stack, person.run)).sort())
      .toEqual(["LEFT", "LEFT", "RIGHT", "RIGHT"]);
    const labels = await stack.labels(person.run);
    expect(new Set(labels.map(({ questionId }) => questionId)).size).toBe(4);
  });

  test("an answer under an expired lease counts", async ({ page, stack }) => {
    const person = await stack.people();
    const label = new LabelingPage(page);
    await label.open(person);
    await page.route("**/backflip.v1.LabelingService/Heartbeat", (route) => route.abort());
    const ofRun = `question_id IN (SELECT id FROM questions WHERE run_id = ${person.run})`;
    await stack.value(
      `UPDATE leases SET expires_at = now() - interval '1 hour' WHERE ${ofRun} RETURNING 1`,
    );
    await expect
      .poll(() => stack.value(`SELECT count(*) FROM leases WHERE state = 'EXPIRED' AND ${ofRun}`))
      .not.toBe("0");
    await label.press("ArrowLeft");
    await expectChoices(stack, person.run, ["LEFT"]);
    await expect(page.getByText(/was not stored/)).toHaveCount(0);
  });

  test("who is revoked is told, and stored answers stay", async ({ page, stack }) => {
    const person = await stack.people();
    const label = new LabelingPage(page);
    await label.open(person);
    await label.press("ArrowLeft");
    await expectChoices(stack, person.run, ["LEFT"]);
    await stack.call("PeopleService/SetLabelerState", {
      name: person.name,
      state: "REVOKED",
      reason: "the study is over",
    });
    // the page asks for its session every 15 s
    await expect(page.getByRole("heading", { name: "Your access has ended" })).toBeVisible();
    await page.reload();
    await expect(page.getByText(/Open the link that you were sent/)).toBeVisible();
    expect(await choicesOf(stack, person.run)).toEqual(["LEFT"]);
  });

  test("who is paused sees why, and goes on by itself when resumed", async ({ page, stack }) => {
    const person = await stack.people({ pairs: 2 });
    const label = new LabelingPage(page);
    await label.open(person);
    await stack.call("PeopleService/SetLabelerState", {
      name: person.name,
      state: "LABELER_PAUSED",
      reason: "Please read the instructions again.",
    });
    await label.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    await expect(page.getByText(/Please read the instructions again/)).toBeVisible();
    await stack.command(`open ${person.run} 2`);
    await stack.call("PeopleService/SetLabelerState", { name: person.name, state: "ACTIVE" });
    await label.pair();
  });

  test("when there is nothing to label the page says why, and goes on by itself", async ({
    page,
    stack,
  }) => {
    const person = await stack.people({ pairs: 1 });
    const label = new LabelingPage(page);
    await label.open(person);
    await page.keyboard.press("ArrowLeft");
    await expect(page.getByRole("heading", { level: 2 })).toBeVisible();
    await expect(page.getByText(/goes on by itself/)).toBeVisible();
    await expectNoViolations(page);
    await stack.command(`open ${person.run} 3`);
    await label.pair();
  });

  test("after a set time of work a pause is suggested, once", async ({ page, stack }) => {
    const person = await stack.people({ spec: "quality { break_after_minutes: 30 }" });
    await page.clock.install();
    const label = new LabelingPage(page);
    await label.open(person);
    await label.press("ArrowLeft");
    await expectChoices(stack, person.run, ["LEFT"]);
    const suggestion = page.getByText(/Rest your eyes/i);
    // The page asks each 15 s, once it has the answer before.
    const asked = async () => {
      const answer = page.waitForResponse(/LabelingService\/GetSession$/);
      await page.clock.fastForward(16_000);
      await (await answer).finished();
    };
    await asked();
    await expect(suggestion).toHaveCount(0);
    const worked = (minutes: number, active: number) =>
      stack.value(
        `UPDATE labeler_time SET working_since = now() - interval '${minutes} minutes', active_ms = ${active * 60_000} WHERE run_id = ${person.run} RETURNING 1`,
      );
    await worked(31, 28);
    await asked();
    await expect(label.banner).toHaveText(
      /You have worked for a while \(28 minutes in all\)\. Rest your eyes a little: nothing is lost\./,
    );
    await expectNoViolations(page);
    await page.getByRole("button", { name: "Close" }).click();
    await expect(suggestion).toBeHidden();
    // as time goes on it is not said again
    await worked(33, 30);
    await asked();
    await asked();
    await label.press("ArrowRight");
    await expect(suggestion).toBeHidden();
    // but after a rest and as long again
    await worked(0, 30);
    await asked();
    await worked(31, 58);
    await asked();
    await page.getByRole("button", { name: "Take a break" }).click();
    await expect(page.getByRole("heading", { name: "Have a break" })).toBeVisible();
    await expect(label.choice("Left")).toBeDisabled();
    await expectNoViolations(page);
    await page.getByRole("button", { name: "Go on" }).click();
    await label.press("ArrowUp");
    await expectChoices(stack, person.run, ["LEFT", "RIGHT", "TIE"]);
    await expect(suggestion).toBeHidden();
  });

  test("a page that is left open asks for nothing, holds nothing, and goes on by a key that answers nothing", async ({
    page,
    stack,
  }) => {
    const person = await stack.people({ pairs: 12 });
    await page.clock.install();
    const label = new LabelingPage(page);
    await label.open(person);
    await label.press("ArrowLeft");
    await expectChoices(stack, person.run, ["LEFT"]);
    const calls = callsOf(page);
    await page.clock.fastForward("04:00");
    await expect.poll(() => calls.all).toContain("Heartbeat");
    await page.mouse.move(300, 300);
    await page.clock.fastForward("04:00");
    await label.pair(); // somebody was there less than five minutes ago
    await page.clock.fastForward("01:10");
    await expect(
      page.getByRole("heading", { name: "Paused because nobody is here" }),
    ).toBeVisible();
    await expect(label.choice("Left")).toBeDisabled();
    await expectNoViolations(page);
    await expect.poll(() => calls.open).toBe(0);
    calls.all.length = 0;
    for (let hour = 0; hour < 8; ++hour) await page.clock.fastForward("01:00:00");
    expect(calls.all).toEqual([]);
    // meanwhile the broker has given the pairs to others
    await giveToOthers(stack, person.run);
    await page.keyboard.press("ArrowRight");
    await label.pair();
    await expect(label.choice("Right")).toHaveAttribute("aria-pressed", "false");
    await label.press("ArrowUp");
    await expectChoices(stack, person.run, ["LEFT", "TIE"]);
    const [, after] = await stack.labels(person.run);
    expect(after.surplus ?? false).toBe(false);
    expect(after.timing.decisionMs ?? 0).toBeLessThan(60_000);
  });

  test("whoever waits and goes is not paid for waiting", async ({ page, stack }) => {
    const person = await stack.people({ pairs: 1 });
    await page.clock.install();
    const label = new LabelingPage(page);
    const calls = callsOf(page);
    await label.open(person);
    await page.keyboard.press("ArrowLeft");
    await expect(page.getByText(/goes on by itself/)).toBeVisible();
    await page.clock.fastForward("05:10");
    await expect(
      page.getByRole("heading", { name: "Paused because nobody is here" }),
    ).toBeVisible();
    await expect.poll(() => calls.open).toBe(0); // the one that was under way
    calls.all.length = 0;
    const waited = await stack.value(
      `SELECT sum(waiting_ms) FROM labeler_time WHERE run_id = ${person.run}`,
    );
    await page.clock.fastForward("01:00:00");
    await page.clock.fastForward("01:00:00");
    expect(calls.all).toEqual([]);
    expect(
      await stack.value(`SELECT sum(waiting_ms) FROM labeler_time WHERE run_id = ${person.run}`),
    ).toBe(waited);
    await expect(
      page.getByRole("heading", { name: "Paused because nobody is here" }),
    ).toBeVisible();
    await stack.command(`open ${person.run} 3`);
    await page.mouse.move(400, 400);
    await label.pair();
  });

  test("a page behind others asks for nothing after a minute, and goes on when it is in front", async ({
    page,
    stack,
  }) => {
    const person = await stack.people({ pairs: 12 });
    await page.clock.install();
    const label = new LabelingPage(page);
    await label.open(person);
    await label.press("ArrowLeft");
    const show = (state: "hidden" | "visible") =>
      page.evaluate((state) => {
        Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, state);
    await show("hidden");
    await page.clock.fastForward("00:30");
    await show("visible");
    await label.press("ArrowRight"); // a look elsewhere interrupts nothing
    await expectChoices(stack, person.run, ["LEFT", "RIGHT"]);
    await show("hidden");
    await page.clock.fastForward("01:05");
    const calls = callsOf(page);
    await page.clock.fastForward("01:00:00");
    await page.clock.fastForward("01:00:00");
    expect(calls.all).toEqual([]);
    await show("visible");
    await label.press("ArrowUp");
    await expectChoices(stack, person.run, ["LEFT", "RIGHT", "TIE"]);
  });

  test("a lost WebGL context comes back", async ({ page, stack }) => {
    const person = await stack.people();
    await new LabelingPage(page).open(person);
    await page.keyboard.press("Space");
    const before = await picture(page);
    await page.evaluate(() => {
      const canvas = document.querySelector("canvas")!;
      const context = (canvas.getContext("webgl2") as WebGL2RenderingContext).getExtension(
        "WEBGL_lose_context",
      )!;
      context.loseContext();
      setTimeout(() => context.restoreContext(), 50);
    });
    await expect.poll(() => picture(page)).toBe(before);
  });

  test("without WebGL the shapes are drawn on a plain canvas", async ({ page, stack }) => {
    const person = await stack.people();
    await page.addInitScript(() => {
      const get = HTMLCanvasElement.prototype.getContext as any;
      HTMLCanvasElement.prototype.getContext = function (
        this: HTMLCanvasElement,
        kind: string,
        ...rest: unknown[]
      ) {
        return kind.startsWith("webgl") ? null : get.call(this, kind, ...rest);
      } as any;
    });
    const label = new LabelingPage(page);
    await label.open(person);
    const first = await picture(page);
    await expect.poll(() => picture(page)).not.toBe(first);
    await label.press("ArrowLeft");
    await expectChoices(stack, person.run, ["LEFT"]);
  });
});

test.describe("learning to label", () => {
  test("instructions and examples come first, once; then practice with feedback", async ({
    page,
    stack,
  }) => {
    const person = await stack.people({ spec: "quality { qualification: 2 }" });
    for (const [i, use] of ["SHOW", "QUALIFY", "QUALIFY"].entries()) {
      await stack.call("ReviewService/AddGold", {
        runId: person.run,
        clipIds: person.clips.slice(2 * i, 2 * i + 2),
        answer: "LEFT",
        explanation: `Because it turns further (${i}).`,
        use,
      });
    }
    await page.goto(`/#invite=${person.secret}`);
    await page.getByRole("button", { name: "Start" }).click();
    await expect(page.getByRole("heading", { name: "What to look for" })).toBeVisible();
    await expectNoViolations(page);
    await page.keyboard.press("ArrowRight");
    await expect(page.getByText("Because it turns further (0).")).toBeVisible();
    await expectNoViolations(page);
    await page.keyboard.press("ArrowRight");
    const label = new LabelingPage(page);
    for (let i = 0; i < 2; ++i) {
      await label.pair();
      await expect(page.getByText(/Practice/).first()).toBeVisible();
      await page.keyboard.press("ArrowUp");
      await expect(page.getByText(/Not quite\./)).toBeVisible();
      await expect(page.getByText(/Because it turns further/)).toBeVisible();
      await expectNoViolations(page);
      await page.keyboard.press("Enter");
    }
    await label.pair();
    await page.reload();
    await label.pair();
    await expect(page.getByText(/Practice/)).toHaveCount(0);
  });
});

test.describe("the ranking page", () => {
  test("four clips are put in order by keys, ties allowed, and stored as that", async ({
    page,
    stack,
  }) => {
    const person = await stack.people({ pairs: 4, width: 4 });
    await new LabelingPage(page).start(`/#invite=${person.secret}`);
    await expect(page.getByRole("img", { name: /Clip 4/ })).toBeVisible();
    const send = page.getByRole("button", { name: /Send this order/ });
    await expect(send).toBeDisabled();
    for (const key of ["3", "1", "t", "4", "2"]) await page.keyboard.press(key);
    await expect(send).toBeEnabled();
    await expectNoViolations(page);
    await page.keyboard.press("Enter");
    await expect
      .poll(async () =>
        (await stack.labels(person.run))[0]?.answer.ranking?.groups.map(({ positions }: any) =>
          positions.sort(),
        ),
      )
      .toEqual([[0, 2], [3], [1]]);
  });

  test("chips are dragged into order", async ({ page, stack }) => {
    const person = await stack.people({ pairs: 2, width: 4 });
    await new LabelingPage(page).start(`/#invite=${person.secret}`);
    const places = page.getByRole("list", { name: /Your order/ });
    for (const clip of [2, 4, 1, 3]) {
      const chip = (await page
        .getByRole("button", { name: new RegExp(`^Clip ${clip}`) })
        .boundingBox())!;
      const target = (await places.boundingBox())!;
      await page.mouse.move(chip.x + chip.width / 2, chip.y + chip.height / 2);
      await page.mouse.down();
      await page.mouse.move(target.x + target.width - 4, target.y + target.height / 2, {
        steps: 6,
      });
      await page.mouse.up();
    }
    await page.getByRole("button", { name: /Send this order/ }).click();
    await expect
      .poll(async () =>
        (await stack.labels(person.run))[0]?.answer.ranking?.groups.map(
          (group: any) => group.positions[0],
        ),
      )
      .toEqual([1, 3, 0, 2]);
  });

  test("a window that is too narrow says so", async ({ page, stack }) => {
    const person = await stack.people({ pairs: 2, width: 4 });
    await page.setViewportSize({ width: 900, height: 700 });
    await new LabelingPage(page).start(`/#invite=${person.secret}`);
    await expect(page.getByRole("heading", { name: "This needs a wider window" })).toBeVisible();
  });
});

test.describe("everybody", () => {
  for (const scheme of ["light", "dark"] as const) {
    test(`nothing stands in the way of a screen reader, ${scheme}`, async ({ page, stack }) => {
      await page.emulateMedia({ colorScheme: scheme });
      const person = await stack.people();
      await page.goto(`/#invite=${person.secret}`);
      await expect(page.getByRole("button", { name: "Start" })).toBeVisible();
      await expectNoViolations(page);
      const label = new LabelingPage(page);
      await label.open(person);
      await expectNoViolations(page);
      await page.keyboard.press("?");
      await expect(page.getByRole("dialog")).toBeVisible();
      await expectNoViolations(page);
    });
  }

  for (const [name, size] of Object.entries({
    "a phone held sideways": { width: 740, height: 360 },
    "a small phone held sideways": { width: 568, height: 320 },
    "a phone held upright": { width: 390, height: 780 },
    "a phone below its browser's bars": { width: 390, height: 664 },
    "a smaller phone below its browser's bars": { width: 375, height: 553 },
    "a narrow phone": { width: 360, height: 560 },
    "the smallest phone": { width: 320, height: 568 },
    "a small window": { width: 620, height: 580 },
    "a larger small window": { width: 639, height: 600 },
    "a small laptop": { width: 1280, height: 640 },
  })) {
    test(`${name} shows clips, question and answers without scrolling`, async ({ page, stack }) => {
      await page.setViewportSize(size);
      const person = await stack.people();
      const label = new LabelingPage(page);
      await label.open(person);
      const boxes = await Promise.all(
        [
          label.choice("Left"),
          label.choice("Right"),
          label.choice("Same"),
          label.choice("tell"),
          label.choice("Broken"),
          label.undo,
          page.getByRole("button", { name: /^Help/ }),
          page.getByRole("img").first(),
          page.getByRole("img").nth(1),
        ].map((part) => part.boundingBox()),
      );
      for (const box of boxes) {
        expect(box!.x).toBeGreaterThanOrEqual(0);
        expect(box!.x + box!.width).toBeLessThanOrEqual(size.width);
        expect(box!.y + box!.height).toBeLessThanOrEqual(size.height);
      }
      const [left, right] = boxes.slice(-2);
      if (size.width < size.height) expect(right!.y).toBeGreaterThan(left!.y + left!.height - 2);
      else expect(right!.x).toBeGreaterThan(left!.x + left!.width - 2);
      expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(
        true,
      );
      await label.choice("Right").click();
      await expectChoices(stack, person.run, ["RIGHT"]);
    });
  }

  test("nothing on the page tells reward, iteration or what others answered", async ({
    page,
    stack,
  }) => {
    const person = await stack.people();
    const label = new LabelingPage(page);
    await label.open(person);
    await label.press("ArrowLeft");
    // biome-ignore lint/performance/useDomNodeTextContent: what can be seen, not what is hidden
    const text = await page.locator("body").innerText();
    expect(text).not.toMatch(/reward|iteration|policy|agree|others|gold/i);
  });
});
