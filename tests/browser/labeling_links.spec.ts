// Links that do not work as they should: mangled on their way, not the person's own, or to a page whose
// parts do not load.
import { expect, expectChoices, LabelingPage, test } from "./labeling_support";
import type { Stack } from "./stack.mjs";

async function crowd(stack: Stack) {
  const { run } = await stack.people();
  const { secret, inviteId } = await stack.invite({
    name: `crowd-${run}`,
    runIds: [run],
    group: { cap: 5 },
  });
  return { run, secret, inviteId };
}

const refused = { name: "This link does not work" };

test.describe("a link that was mangled on its way", () => {
  for (const link of [
    "/%23invite=KEY",
    "/%23invite%3DKEY%3FPROLIFIC_PID%3Dabc",
    "/index.html#invite=KEY",
    "/index.html%23invite=KEY",
    "/?PROLIFIC_PID=abc#invite%3DKEY",
    "/?PROLIFIC_PID=abc#INVITE=KEY",
    "/?PROLIFIC_PID=abc&invite=KEY",
    "/?STUDY_ID=d%26PROLIFIC_PID%3Dabc#invite=KEY",
    "/#invite=KEY%26PROLIFIC_PID%3Dabc",
    "/#invite=KEY%253FPROLIFIC_PID%253Dabc%2526STUDY_ID%253Dd",
  ]) {
    test(`lets in all the same: ${link}`, async ({ page, stack }) => {
      const { run, secret } = await crowd(stack);
      await page.goto(link.replace("KEY", secret));
      const id = page.getByRole("textbox");
      if (link.includes("abc")) await expect(id).toHaveValue("abc");
      else await id.fill("abc");
      await page.getByRole("button", { name: "Start" }).click();
      await page.getByRole("button", { name: "Begin" }).click();
      await new LabelingPage(page).press("ArrowLeft");
      await expectChoices(stack, run, ["LEFT"]);
      const { pathname, search, hash } = new URL(page.url());
      expect(pathname + search + hash).toBe("/");
    });
  }

  test("leads a reviewer to the dashboard", async ({ page, stack }) => {
    const { secret } = await stack.invite({ name: "mangled-reviewer", role: "INVITE_REVIEWER" });
    await page.goto(`/%23invite=${secret}`);
    await page.waitForURL(`**/dashboard#invite=${secret}`);
  });

  test("or to nothing is told so in words", async ({ page }) => {
    await page.goto("/nothing/here");
    await expect(
      page.getByRole("heading", { name: "There is nothing at this address" }),
    ).toBeVisible();
    await page.getByRole("link").click();
    await expect(page.getByText(/Open the link that you were sent/)).toBeVisible();
  });
});

test.describe("a link that does not work", () => {
  test("is not taken for that of the person who is signed in, who may go on", async ({
    page,
    stack,
  }) => {
    const ann = await stack.people();
    const label = new LabelingPage(page);
    await label.open(ann);
    const { secret } = await stack.invite({ name: `bob-${ann.run}`, runIds: [ann.run] });
    const other = await page.context().browser()!.newContext();
    await new LabelingPage(await other.newPage()).start(`${stack.url}/#invite=${secret}`);
    await other.close();
    for (const invite of [secret, "x".repeat(43)]) {
      await page.goto("about:blank");
      await page.goto(`/#invite=${invite}`);
      await expect(page.getByRole("heading", refused)).toBeVisible();
      await expect(page.getByText(`signed in as ${ann.name}`)).toBeVisible();
    }
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("button", { name: `Go on as ${ann.name}` }).click();
    await label.pair();
    expect(new URL(page.url()).hash).toBe("");
    // their own, used up, goes on by itself
    await page.goto("about:blank");
    await page.goto(`/#invite=${ann.secret}`);
    await label.press("ArrowLeft");
    await expectChoices(stack, ann.run, ["LEFT"]);
  });

  test("of a group goes on for the same id alone", async ({ page, stack }) => {
    const { secret, inviteId } = await crowd(stack);
    const label = new LabelingPage(page);
    await label.start(`/?PROLIFIC_PID=ann#invite=${secret}`);
    await label.pair();
    await stack.call("PeopleService/WithdrawInvite", { inviteId });
    await page.goto("about:blank");
    await page.goto(`/?PROLIFIC_PID=bob#invite=${secret}`);
    await expect(page.getByRole("heading", refused)).toBeVisible();
    for (const link of [`/?PROLIFIC_PID=ann#invite=${secret}`, `/#invite=${secret}`]) {
      await page.goto("about:blank");
      await page.goto(link);
      await label.pair();
    }
  });
});

test("an id is taken without the signs in it that nobody sees", async ({ page, stack }) => {
  const { run, secret } = await crowd(stack);
  await page.goto(`/?PROLIFIC_PID=%E2%80%8Bann%E2%80%8E#invite=${secret}`);
  await expect(page.getByRole("textbox")).toHaveValue("ann");
  await page.getByRole("textbox").fill("\u200ebob\u200b ");
  await page.getByRole("button", { name: "Start" }).click();
  await expect(page.getByRole("button", { name: "Begin" })).toBeVisible();
  const id = await stack.value(
    `SELECT outside_id FROM callers WHERE outside_id IS NOT NULL AND ${run} = ANY (run_ids)`,
  );
  expect(id).toBe("bob");
});

for (const path of ["/", "/dashboard"]) {
  test(`a page whose script does not load says what to do: ${path}`, async ({ page }) => {
    await page.route("**/assets/*.js", (route) => route.abort());
    await page.goto(path);
    await expect(page.getByText(/If this stays, reload the page/)).toBeVisible();
  });
}
