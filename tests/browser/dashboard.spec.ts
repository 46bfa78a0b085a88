// The dashboard page against a made-up broker: every view, every button, and
// what a person without a mouse, without eyes or without colours gets of it.
import { expect, type Page, test } from "@playwright/test";
import { FakeReview } from "./dashboard_data";
import { address, expectNoViolations, openDashboard, serveFake } from "./dashboard_support";

const section = (page: Page, name: string) => page.getByRole("region", { name, exact: true });

test.describe("a run in the middle of its life", () => {
  test("says what the run waits for, how far it is, and what to look at", async ({ page }) => {
    const fake = new FakeReview("rich");
    const { errors } = await openDashboard(page, fake);
    const overview = section(page, "Overview");
    await expect(overview).toContainText("Waiting for labels");
    await expect(overview).toContainText("of 900 wanted");
    await expect(overview).toContainText("14");
    await expect(overview).toContainText("6 held by labelers");
    await expect(overview.getByRole("listitem")).toHaveCount(2);
    await expect(overview).toContainText("may be gaming the reward model");
    expect(errors).toEqual([]);
  });

  test("draws the curves over labels and over steps, and says them in words", async ({ page }) => {
    await openDashboard(page, new FakeReview("rich"));
    for (const name of [
      "True return",
      "Predicted return",
      "Turns",
      "Landed backflips",
      "Reward model’s accuracy",
    ]) {
      await expect(
        page.getByRole("img", { name: new RegExp(`^${name}: \\d+ points over labels`) }),
      ).toBeVisible();
    }
    await page.getByRole("radio", { name: "steps" }).check();
    await expect(
      page.getByRole("img", { name: /^True return: 15 points over steps/ }),
    ).toBeVisible();
    const chart = page.getByRole("figure").filter({ hasText: "True return" }).first();
    await chart.getByText("Numbers").click();
    await expect(chart.getByRole("row")).toHaveCount(16);
  });

  test("moves by itself when the run moves, and asks for details once", async ({ page }) => {
    const fake = new FakeReview("rich");
    await openDashboard(page, fake);
    await expect(section(page, "Overview")).toContainText("14");
    await expect(section(page, "Labelers and agreement")).toContainText("ann");
    const asked = fake.count("ListLabelers");
    fake.move(() => {
      fake.labelers[0].labels = "215";
      fake.alerts = ["Somebody should read this."];
    });
    await expect(section(page, "Overview")).toContainText("Somebody should read this.");
    await expect(page.getByRole("row", { name: /^ann/ })).toContainText("215");
    expect(fake.count("ListLabelers")).toBe(asked + 1);
    expect(fake.watching).toBe(1);
  });

  test("charts progress in people's eyes with its interval", async ({ page }) => {
    await openDashboard(page, new FakeReview("rich"));
    const progress = section(page, "Progress in people’s eyes");
    await expect(
      progress.getByRole("img", { name: /9 points over steps, from 50.% to 47.%/ }),
    ).toBeVisible();
    await progress.getByText("Numbers").click();
    await expect(progress.getByRole("columnheader")).toHaveText([
      "steps",
      "Wins of the newest policy against earlier ones",
      "low",
      "high",
    ]);
  });

  test("unfolds what the algorithm and the reward model report of themselves", async ({ page }) => {
    const fake = new FakeReview("rich");
    await openDashboard(page, fake);
    const statistics = section(page, "Inside the training");
    await expect(section(page, "All labels").locator("tbody tr")).toHaveCount(25);
    const asked = fake.count("ListMetrics");
    await statistics.getByText("Show the curves").click();
    for (const name of ["policy: kl", "reward: accuracy"]) {
      await expect(
        statistics.getByRole("img", { name: new RegExp(`^${name}: \\d+ points over steps`) }),
      ).toBeVisible();
    }
    expect(fake.count("ListMetrics")).toBeGreaterThan(asked);
    await expectNoViolations(page);
  });

  test("says what the agreement means", async ({ page }) => {
    await openDashboard(page, new FakeReview("rich"));
    const labelers = section(page, "Labelers and agreement");
    await expect(labelers).toContainText("0.71");
    await expect(labelers).toContainText("0.78");
    await expect(labelers).toContainText("Tentative: people mostly see the same");
  });

  test("sorts labelers by any column, with the keyboard too", async ({ page }) => {
    await openDashboard(page, new FakeReview("rich"));
    const table = section(page, "Table of labelers");
    const first = table.getByRole("rowheader").first();
    await expect(first).toHaveText("ann");
    const head = table.getByRole("button", { name: "Reliability" });
    await head.focus();
    await page.keyboard.press("Enter");
    await page.keyboard.press("Enter");
    await expect(table.getByRole("columnheader", { name: "Reliability" })).toHaveAttribute(
      "aria-sort",
      "ascending",
    );
    await expect(first).toHaveText("<b>eve</b>");
    await expect(table.getByRole("img", { name: /^12.%, between 2.% and 22.%$/ })).toBeVisible();
  });

  test("pauses a labeler with a reason, and resumes them", async ({ page }) => {
    const fake = new FakeReview("rich");
    await openDashboard(page, fake);
    await page.getByRole("button", { name: "Pause chidi" }).click();
    const dialog = page.getByRole("dialog", { name: "Pause chidi?" });
    await dialog.getByLabel("Why").fill("Please read the guide again.");
    await dialog.getByRole("button", { name: "Pause" }).click();
    await expect(dialog).toBeHidden();
    const row = page.getByRole("row", { name: /^chidi/ });
    await expect(row).toContainText("paused");
    await expect(row).toContainText("Please read the guide again.");
    await page.getByRole("button", { name: "Resume chidi" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Resume" }).click();
    await expect(row).toContainText("active");
    expect(fake.requests("SetLabelerState")).toEqual([
      { labelerId: 4, state: "LABELER_PAUSED", reason: "Please read the guide again." },
      { labelerId: 4, state: "ACTIVE" },
    ]);
  });

  test("plays the newest clips, stops them, and makes gold of two", async ({ page }) => {
    const fake = new FakeReview("rich");
    await openDashboard(page, fake);
    const clips = section(page, "Newest clips of the policy");
    await expect(clips.getByRole("img")).toHaveCount(8);
    await clips.scrollIntoViewIfNeeded();
    const picture = () =>
      clips
        .getByRole("img")
        .first()
        .evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());
    const before = await picture();
    await expect.poll(picture).not.toBe(before);
    await clips.getByRole("button", { name: "Pause the newest clips" }).click();
    const stopped = await picture();
    await page.evaluate(
      () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
    );
    expect(await picture()).toBe(stopped);
    await clips.getByRole("button", { name: "Choose clip 2 " }).click();
    await clips.getByRole("button", { name: "Choose clip 5 " }).click();
    await clips.getByRole("button", { name: "Make gold of two" }).click();
    const dialog = page.getByRole("dialog", { name: "Make a gold pair" });
    await dialog.getByRole("button", { name: "Make it gold" }).click();
    expect(fake.count("AddGold")).toBe(0); // an answer is wanted first
    await dialog.getByRole("radio", { name: "right is better" }).check();
    await dialog.getByLabel(/Why this is right/).fill("It lands.");
    await dialog.getByRole("radio", { name: /^guide/ }).check();
    await dialog.getByRole("button", { name: "Make it gold" }).click();
    await expect(dialog).toBeHidden();
    await expect(section(page, "Gold pairs").getByRole("listitem")).toHaveCount(3);
    expect(fake.requests("AddGold")[0]).toMatchObject({
      answer: "RIGHT",
      explanation: "It lands.",
      use: "SHOW",
    });
    expect(fake.requests("AddGold")[0].clipIds).toHaveLength(2);
  });

  test("shows disputed pairs with every answer, playable, and makes them gold", async ({
    page,
  }) => {
    const fake = new FakeReview("rich");
    await openDashboard(page, fake);
    const disputed = section(page, "Most disputed pairs");
    const card = disputed.locator(".card").first();
    await expect(card).toContainText("Ben (night shift)");
    await expect(card).toContainText("It lands, even if late");
    await card.scrollIntoViewIfNeeded();
    await expect(card.getByRole("img")).toHaveCount(2);
    await expect(card.getByRole("button", { name: "Pause these clips" })).toBeVisible();
    await card.getByRole("button", { name: /gold/ }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("radio", { name: "same" }).check();
    await dialog.getByRole("button", { name: "Make it gold" }).click();
    await expect(dialog).toBeHidden();
    expect(fake.requests("AddGold")[0]).toMatchObject({ answer: "TIE", use: "CHECK" });
  });

  test("removes a gold pair after asking", async ({ page }) => {
    const fake = new FakeReview("rich");
    await openDashboard(page, fake);
    const gold = section(page, "Gold pairs");
    await expect(gold).toContainText("asked 14 times, 12 right (86\u00a0%)");
    await gold.getByRole("button", { name: "Remove gold pair 1" }).click();
    await page.keyboard.press("Escape");
    expect(fake.count("RemoveGold")).toBe(0);
    await gold.getByRole("button", { name: "Remove gold pair 1" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await expect(gold.locator(".card")).toHaveCount(1);
  });

  test("filters labels, turns pages, and shows one with its clips", async ({ page }) => {
    const fake = new FakeReview("rich");
    await openDashboard(page, fake);
    const labels = section(page, "All labels");
    const rows = labels.locator("tbody tr");
    await expect(rows).toHaveCount(25);
    await expect(labels.getByRole("rowheader").first()).toHaveText("1230");
    await labels.getByRole("button", { name: "Older" }).click();
    await expect(labels.getByRole("rowheader").first()).toHaveText("1205");
    // an older page stays while labels come
    fake.move();
    await expect(labels).toContainText("Page 2");
    await labels.getByRole("button", { name: "Newer" }).click();
    await expect(labels.getByRole("rowheader").first()).toHaveText("1230");
    await labels.getByLabel("Labeler").selectOption("<b>eve</b>");
    await expect(rows.first()).toContainText("<b>eve</b>");
    await labels.getByLabel("Answer").selectOption("left is better");
    await labels.getByLabel("Purpose").selectOption("training");
    await expect
      .poll(() => fake.requests("ListLabels").at(-1))
      .toMatchObject({
        labeler: "<b>eve</b>",
        choice: "LEFT",
        purpose: "TRAIN",
      });
    await labels.getByRole("button", { name: "Clear" }).click();
    await labels.getByLabel("with a note").check();
    await expect(rows.first()).toContainText("<img src=x onerror=alert(1)>");
    await labels.getByLabel("with a note").uncheck();
    await labels.getByLabel("Question").fill("776");
    await labels.getByLabel("Question").press("Enter");
    await expect(rows).toHaveCount(2);
    await rows
      .first()
      .getByRole("button", { name: /Show the clips/ })
      .click();
    const dialog = page.getByRole("dialog", { name: /^Label \d+, question 776/ });
    await expect(dialog.getByRole("img")).toHaveCount(2);
    await page.keyboard.press("Escape");
    await labels.getByLabel("Question").fill("1");
    await labels.getByLabel("Question").press("Enter");
    await expect(labels).toContainText("No label fits this filter.");
  });

  test("shows names and notes as text, whatever is in them", async ({ page }) => {
    await openDashboard(page, new FakeReview("rich"));
    await expect(page.getByRole("row", { name: /^<b>eve<\/b>/ })).toBeVisible();
    expect(await page.locator("main b, main i, main img").count()).toBe(0);
  });

  test("plays an episode over its curve, goes to a moment, and asks about it", async ({ page }) => {
    const fake = new FakeReview("rich");
    await openDashboard(page, fake);
    const episode = section(page, "An evaluation episode");
    await expect(episode.getByRole("img", { name: /policy version 85/ })).toBeVisible();
    await expect(
      episode.getByRole("img", { name: /^Predicted reward.*300 points over step/ }),
    ).toBeVisible();
    await episode.getByRole("button", { name: "Pause the episode" }).click();
    await episode.getByRole("slider").fill("120");
    await expect(episode).toContainText("step 120 of 300");
    await episode.getByRole("button", { name: "Ask about this moment" }).click();
    await expect(page.getByText(/Asked: question 941/)).toBeVisible();
    expect(fake.requests("AskAbout")[0]).toMatchObject({ runId: 12, policyVersion: 85, step: 120 });
    // a click on the curve goes there
    const plot = episode.locator(".u-over");
    const box = (await plot.boundingBox())!;
    await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
    await expect(episode).toContainText(/step 1[45]\d of 300/);
    await episode.getByLabel("Recorded version").selectOption("43");
    await expect(episode.getByRole("img", { name: /policy version 43/ })).toBeVisible();
    // a refusal is a sentence
    fake.state = "PAUSED";
    await episode.getByRole("button", { name: "Ask about this moment" }).click();
    await expect(page.getByText(/is paused, so nobody would be asked/)).toBeVisible();
  });

  test("stops asking and pauses the run, each after a question", async ({ page }) => {
    const fake = new FakeReview("rich");
    await openDashboard(page, fake);
    await page.getByRole("button", { name: "Stop asking" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    expect(fake.count("StopAsking")).toBe(0);
    await page.getByRole("button", { name: "Stop asking" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Stop asking" }).click();
    await expect(page.getByRole("button", { name: "Asking stopped" })).toBeDisabled();
    await expect(section(page, "Overview")).toContainText("No more questions are asked.");
    await page.getByRole("button", { name: "Pause run" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Pause run" }).click();
    await expect(section(page, "Overview")).toContainText("Paused");
    expect(fake.requests("Cancel")).toEqual([{ runId: 12, pause: true }]);
  });

  test("goes to another run and keeps it in the address", async ({ page }) => {
    const fake = new FakeReview("rich");
    await openDashboard(page, fake);
    await page.getByLabel("Run", { exact: true }).selectOption("11");
    await expect.poll(() => fake.requests("Watch").at(-1)).toMatchObject({ runId: 11 });
    expect(new URL(page.url()).hash).toBe("#run=11");
  });

  test("says that the connection is lost, and comes back by itself", async ({ page }) => {
    const fake = new FakeReview("rich");
    await openDashboard(page, fake);
    await expect(section(page, "Overview")).toContainText("Waiting for labels");
    fake.offline = true;
    fake.move();
    await expect(page.getByText(/Trying again/)).toBeVisible();
    fake.offline = false;
    await expect(page.getByText(/Trying again/)).toBeHidden();
  });

  for (const colorScheme of ["light", "dark"] as const) {
    test(`has no accessibility violation, ${colorScheme}`, async ({ page }) => {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await openDashboard(page, new FakeReview("rich"));
      await expect(section(page, "All labels").locator("tbody tr")).toHaveCount(25);
      await expect(section(page, "Newest clips of the policy").getByRole("img")).toHaveCount(8);
      await expectNoViolations(page);
      await page.getByRole("button", { name: /Make question 610 a gold pair/ }).click();
      await expect(page.getByRole("dialog").getByRole("img")).toHaveCount(2);
      await expectNoViolations(page);
    });
  }

  test("fits a phone", async ({ page }) => {
    await page.setViewportSize({ width: 390, height: 844 });
    await openDashboard(page, new FakeReview("rich"));
    await expect(section(page, "All labels").locator("tbody tr")).toHaveCount(25);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    await expectNoViolations(page);
  });

  test("draws all clips with one WebGL context, and goes on when it was lost", async ({ page }) => {
    await page.addInitScript(() => {
      const contexts: WebGL2RenderingContext[] = [];
      (window as any).contexts = contexts;
      const getContext = HTMLCanvasElement.prototype.getContext as any;
      (HTMLCanvasElement.prototype as any).getContext = function (
        kind: string,
        ...rest: unknown[]
      ) {
        const context = getContext.call(this, kind, ...rest);
        if (kind.startsWith("webgl") && context && !contexts.includes(context))
          contexts.push(context);
        return context;
      };
    });
    await openDashboard(page, new FakeReview("rich"));
    const clips = section(page, "Newest clips of the policy");
    await clips.scrollIntoViewIfNeeded();
    const picture = () =>
      clips
        .getByRole("img")
        .first()
        .evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());
    const moves = async () => {
      const before = await picture();
      await expect.poll(picture).not.toBe(before);
    };
    await moves();
    const live = () =>
      page.evaluate(
        () =>
          (window as any).contexts.filter(
            (context: WebGL2RenderingContext) => !context.isContextLost(),
          ).length,
      );
    expect(await live()).toBe(1);
    await page.evaluate(async () => {
      const context: WebGL2RenderingContext = (window as any).contexts.find(
        (c: WebGL2RenderingContext) => !c.isContextLost(),
      );
      const extension = context.getExtension("WEBGL_lose_context")!;
      const event = (name: string) =>
        new Promise((done) => context.canvas.addEventListener(name, done, { once: true }));
      const lost = event("webglcontextlost");
      extension.loseContext();
      await lost;
      await new Promise((done) => setTimeout(done)); // not within the event
      const restored = event("webglcontextrestored");
      extension.restoreContext();
      await restored;
    });
    await moves();
    expect(await live()).toBe(1);
  });

  test("draws with a canvas where there is no WebGL", async ({ page }) => {
    await page.addInitScript(() => {
      const getContext = HTMLCanvasElement.prototype.getContext as any;
      (HTMLCanvasElement.prototype as any).getContext = function (
        kind: string,
        ...rest: unknown[]
      ) {
        return kind.startsWith("webgl") ? null : getContext.call(this, kind, ...rest);
      };
    });
    await openDashboard(page, new FakeReview("rich"));
    const canvas = section(page, "Newest clips of the policy").getByRole("img").first();
    await canvas.scrollIntoViewIfNeeded();
    const picture = () => canvas.evaluate((element: HTMLCanvasElement) => element.toDataURL());
    const before = await picture();
    await expect.poll(picture).not.toBe(before);
  });

  test("moves nothing for who asked for less motion, until they press play", async ({ page }) => {
    await page.emulateMedia({ reducedMotion: "reduce" });
    await openDashboard(page, new FakeReview("rich"));
    const episode = section(page, "An evaluation episode");
    await expect(episode).toContainText("step 0 of 300");
    await episode.getByRole("button", { name: "Play the episode" }).click();
    await expect(episode).not.toContainText("step 0 of 300");
  });
});

test.describe("a link", () => {
  test("opens nothing up before Start, then signs in and leaves the address bar", async ({
    page,
  }) => {
    const fake = new FakeReview("rich");
    await serveFake(page, fake);
    for (let i = 0; i < 2; ++i) {
      await page.goto(`${address}/dashboard#invite=${fake.secret}`);
      await page.reload();
      await expect(page.getByText("You are invited as “rita”.")).toBeVisible();
    }
    expect(fake.count("AcceptInvite")).toBe(0);
    await expectNoViolations(page);
    await page.getByRole("button", { name: "Start" }).click();
    await expect(section(page, "Overview")).toContainText("Waiting for labels");
    expect(page.url()).not.toContain("invite");
    await page.reload();
    await expect(section(page, "Overview")).toContainText("Waiting for labels");
    await page.getByRole("button", { name: "Sign out" }).click();
    await expect(page.getByRole("heading", { name: "You are signed out" })).toBeVisible();
    expect(
      await page.evaluate(() => localStorage.getItem("backflip.visitor.dashboard")),
    ).toBeNull();
  });

  test("gives a reviewer no buttons of operators", async ({ page }) => {
    const fake = new FakeReview("rich");
    fake.role = "INVITE_REVIEWER";
    await serveFake(page, fake);
    await page.goto(`${address}/dashboard#invite=${fake.secret}&run=11`);
    await page.getByRole("button", { name: "Start" }).click();
    await expect(section(page, "Overview")).toContainText("Waiting for labels");
    await expect(page.getByRole("button", { name: "Pause run" })).toBeHidden();
    expect(fake.requests("Watch")[0].runId).toBe(11);
  });

  test("that is used up says so", async ({ page }) => {
    await serveFake(page, new FakeReview("rich"));
    await page.goto(`${address}/dashboard#invite=other`);
    await expect(page.getByText("this invite was used up: ask for a new one")).toBeVisible();
  });

  test("is not needed while a token is good; a revoked one ends at the door", async ({ page }) => {
    const fake = new FakeReview("rich");
    await openDashboard(page, fake);
    await expect(section(page, "Overview")).toContainText("Waiting for labels");
    fake.move(() => (fake.revoked = true));
    await expect(page.getByRole("heading", { name: "You are signed out" })).toBeVisible();
  });
});

test("a fresh run says what is still to come", async ({ page }) => {
  const fake = new FakeReview("empty");
  const { errors } = await openDashboard(page, fake);
  await expect(section(page, "Overview")).toContainText("Collecting the first batch.");
  await expect(section(page, "Learning")).toContainText(
    "Comes with the first evaluation of the policy.",
  );
  await expect(section(page, "All labels")).toContainText("No labels yet");
  await expect(section(page, "Labelers and agreement")).toContainText("Nobody has answered yet");
  await expect(section(page, "Gold pairs")).toContainText("No gold pairs yet");
  await expectNoViolations(page);
  expect(errors).toEqual([]);
});

test("a run on the true reward has no part about people", async ({ page }) => {
  await openDashboard(page, new FakeReview("baseline"));
  await expect(section(page, "Overview")).toContainText("Finished; the best policy is version 84.");
  await expect(page.getByRole("img", { name: /^True return/ })).toBeVisible();
  await expect(page.getByRole("heading", { name: "All labels" })).toBeHidden();
  await expect(page.getByRole("button", { name: "Stop asking" })).toBeDisabled();
});
