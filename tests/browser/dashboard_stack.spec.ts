// The dashboard on the real broker and database.
import { expect, type Page, test } from "@playwright/test";
import { expectNoViolations } from "./dashboard_support";
import { Stack } from "./stack.mjs";

let stack: any;

test.beforeAll(async () => {
  stack = await Stack.start();
});

test.afterAll(async () => {
  await stack?.end();
});

const section = (page: Page, name: string) => page.getByRole("region", { name, exact: true });

async function call(token: string, method: string, request: object): Promise<any> {
  const response = await fetch(`${stack.url}/backflip.v1.${method}`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      ...(token ? { Authorization: `Bearer ${token}` } : {}),
    },
    body: JSON.stringify(request),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method}: ${answer.message}`);
  return answer;
}

const id = () => crypto.randomUUID().replaceAll("-", "");

// A program that labels.
async function labeler(
  run: number,
  name: string,
): Promise<(count: number, choice: string, note?: string) => Promise<void>> {
  const { secret } = await stack.invite({ name, runIds: [run] });
  const { token } = await call("", "PeopleService/AcceptInvite", { secret, requestId: id() });
  return async (count, choice, note = "") => {
    for (let i = 0; i < count; ++i) {
      const { questions } = await call(token, "LabelingService/Lease", {
        runId: run,
        waitMs: 5000,
      });
      await call(token, "LabelingService/Submit", {
        leaseId: questions[0].leaseId,
        idempotencyKey: id(),
        answer: { choice },
        timing: { decisionMs: 3000, activeMs: 2900, loops: 1, firstPlayedMs: 20 },
        client: "test 1",
        note,
      });
    }
  };
}

async function open(page: Page, run: number, role = "INVITE_OPERATOR"): Promise<string[]> {
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  const { secret } = await stack.invite({ name: `rita-${id().slice(0, 8)}`, role });
  await page.goto(`${stack.url}/dashboard#invite=${secret}&run=${run}`);
  await page.getByRole("button", { name: "Start" }).click();
  await expect(section(page, "Overview")).toContainText(`Which clip comes closer to a backflip?`);
  return errors;
}

test("a fresh run is shown without a complaint", async ({ page }) => {
  const { run } = await stack.command("run 12 2");
  const errors = await open(page, run);
  await expect(page.getByLabel("Run", { exact: true })).toHaveValue(String(run));
  await expect(section(page, "Newest clips of the policy").getByRole("img")).toHaveCount(8);
  await expect(section(page, "All labels")).toContainText("No labels yet");
  await expectNoViolations(page);
  expect(errors).toEqual([]);
});

test("answers appear as they are given, with who disagrees, and become gold", async ({ page }) => {
  const { run } = await stack.command("run 8 2 queries { overlap: 2 overlap_share: 1 }");
  const ann = await labeler(run, `ann-${run}`);
  const eve = await labeler(run, `eve-${run} <b>`);
  const errors = await open(page, run);
  await ann(4, "LEFT");
  const labels = section(page, "All labels");
  await expect(labels.locator("tbody tr")).toHaveCount(4);
  await expect(page.getByRole("row", { name: new RegExp(`^ann-${run}`) }).first()).toContainText(
    "3.0",
  );
  await eve(4, "LEFT", "<i>slow</i>");
  await expect(labels.locator("tbody tr")).toHaveCount(8);
  await labels.getByLabel("with a note").check();
  await expect(labels.locator("tbody tr")).toHaveCount(4);
  await expect(labels).toContainText("<i>slow</i>");
  await labels.getByRole("button", { name: "Clear" }).click();
  // sides are drawn by lot: some of the pairs are disputed
  const questions =
    (await stack.call("ReviewService/ListDisagreements", { runId: run })).questions ?? [];
  const expected = questions.filter(({ disagreement = 0 }) => disagreement > 0).length;
  const cards = section(page, "Most disputed pairs").locator(".card");
  await expect(cards).toHaveCount(expected);
  await labels
    .getByRole("button", { name: /^Show the clips/ })
    .first()
    .click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByRole("img")).toHaveCount(2);
  await dialog.getByRole("button", { name: "Make gold" }).click();
  await page
    .getByRole("dialog")
    .getByLabel(/Why this is right/)
    .fill("It turns further.");
  await page.getByRole("dialog").getByRole("button", { name: "Make it gold" }).click();
  const gold = section(page, "Gold pairs");
  await expect(gold.locator(".card")).toHaveCount(1);
  await expect(gold).toContainText("It turns further.");
  await gold.getByRole("button", { name: /^Remove/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await expect(gold.locator(".card")).toHaveCount(0);
  expect(errors).toEqual([]);
});

test("the newest episode plays over what the ensemble predicts of it, and a moment of it becomes a pair", async ({
  page,
}) => {
  const { run } = await stack.command("run 0 2 lockstep: false");
  const errors = await open(page, run);
  const episode = section(page, "An evaluation episode");
  await expect(episode).toContainText("No episode recorded yet");
  await stack.command(`episode ${run} 3 200`);
  await expect(episode.getByRole("img", { name: /policy version 3,/ })).toBeVisible();
  await expect(episode).toContainText("No ensemble has been trained yet");
  await stack.command(`ensemble ${run}`);
  await stack.command(`episode ${run} 7 300`);
  // the newest is followed, with its curve
  await expect(episode.getByRole("img", { name: /policy version 7,/ })).toBeVisible();
  await expect(
    episode.getByRole("img", { name: /^Predicted reward.*300 points over step/ }),
  ).toBeVisible();
  await expect(episode.getByLabel("Recorded version")).toHaveValue("7");
  const { predictedReward, deviation } = await stack.call("ReviewService/GetEpisode", {
    runId: run,
  });
  expect(predictedReward).toHaveLength(300);
  expect(predictedReward[200]).toBeCloseTo(1, 3); // 1.5 of two thirds of the way
  expect(deviation[200]).toBeCloseTo(1 / 3, 3);
  // it moves
  const shot = async () =>
    (await episode.getByRole("img", { name: /policy version 7,/ }).screenshot()).toString("base64");
  const before = await shot();
  await expect.poll(shot).not.toBe(before);
  await episode.getByRole("button", { name: "Pause the episode" }).click();
  await episode.getByRole("slider").fill("210");
  await expect(episode).toContainText("step 210 of 300");
  const there = await shot();
  await episode.getByRole("slider").fill("20");
  await expect.poll(shot).not.toBe(there);
  await episode.getByRole("slider").fill("210");
  await episode.screenshot({ path: test.info().outputPath("episode.png") });
  await expectNoViolations(page);
  // nobody is asked anything yet
  const ann = await labeler(run, `ann-${run}`);
  await episode.getByRole("button", { name: "Ask about this moment" }).click();
  await expect(page.getByText(/Asked: question \d+ sets the moment around step 210/)).toBeVisible();
  await ann(1, "LEFT", "from the moment");
  await expect(section(page, "All labels").locator("tbody tr")).toHaveCount(1);
  await expect(section(page, "All labels")).toContainText("from the moment");
  const [label] = await stack.labels(run);
  expect(label.selector).toBe("person");
  // one clip is the 50 steps around the moment
  const { clips } = await stack.call("ReviewService/GetClips", {
    runId: run,
    clipIds: label.clipIds,
  });
  const recorded = (await stack.call("ReviewService/GetEpisode", { runId: run })).poses.poses;
  const width = 4 * 7;
  const cut = clips.find(({ policyVersion }: { policyVersion: string }) => policyVersion === "7");
  expect(cut.steps).toBe(50);
  expect(cut.poses.poses).toEqual(recorded.slice(185 * width, 236 * width));
  // an older recording, too
  await episode.getByLabel("Recorded version").selectOption("3");
  await expect(episode.getByRole("img", { name: /policy version 3,/ })).toBeVisible();
  await expect(episode).toContainText("of 200");
  expect(errors).toEqual([]);
});

test("a lockstep run refuses a question of one's own, in words", async ({ page }) => {
  const { run } = await stack.command("run 4 2");
  await open(page, run);
  await stack.command(`episode ${run} 3 200`);
  const episode = section(page, "An evaluation episode");
  await episode.getByRole("button", { name: "Ask about this moment" }).click();
  await expect(
    page.getByText(/is in lockstep, where its seed alone decides what is asked/),
  ).toBeVisible();
});

test("a labeler is paused and resumed, asking stops, the run pauses", async ({ page }) => {
  const { run } = await stack.command("run 8 2");
  const name = `bob-${run}`;
  const bob = await labeler(run, name);
  await bob(1, "TIE");
  await open(page, run);
  await page.getByRole("button", { name: `Pause ${name}` }).click();
  await page.getByRole("dialog").getByLabel("Why").fill("Too fast.");
  await page.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
  await expect(page.getByRole("row", { name: new RegExp(`^${name}`) }).first()).toContainText(
    "Too fast.",
  );
  await page.getByRole("button", { name: `Resume ${name}` }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Resume" }).click();
  await expect(page.getByRole("button", { name: `Pause ${name}` })).toBeVisible();
  await page.getByRole("button", { name: "Stop asking" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Stop asking" }).click();
  await expect(page.getByRole("button", { name: "Asking stopped" })).toBeDisabled();
  await page.getByRole("button", { name: "Pause run" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Pause run" }).click();
  await expect(section(page, "Overview")).toContainText("Paused");
});

test("a broker that goes and comes back, and a token that is revoked", async ({ page }) => {
  const { run } = await stack.command("run 4 2");
  await open(page, run);
  await stack.command("stop");
  await expect(page.getByText(/Trying again/)).toBeVisible();
  await stack.command("start");
  await expect(page.getByText(/Trying again/)).toBeHidden();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("heading", { name: "You are signed out" })).toBeVisible();
});

test("a labeler's link leads to the labeling page", async ({ page }) => {
  const { run } = await stack.command("run 4 2");
  const { secret } = await stack.invite({ name: `zoe-${run}`, runIds: [run] });
  await page.goto(`${stack.url}/dashboard#invite=${secret}`);
  await page.waitForURL(`${stack.url}/#invite=${secret}`);
  await expect(page.getByRole("button", { name: "Start" })).toBeVisible();
});
