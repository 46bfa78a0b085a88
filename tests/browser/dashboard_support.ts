// Serves a FakeReview to a page: every call to the broker is answered in the
// test's own process, so that a test sees each call and can move the run.
import { AxeBuilder } from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";
import { FakeReview, Refusal } from "./dashboard_data";

export interface Opened {
  // What the page complained of: empty in a good run.
  errors: string[];
}

export async function serveFake(page: Page, fake: FakeReview): Promise<Opened> {
  const opened: Opened = { errors: [] };
  page.on("pageerror", (error) => opened.errors.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") opened.errors.push(message.text());
  });
  await page.route(/\/backflip\.v1\.\w+\/\w+$/, async (route) => {
    const method = new URL(route.request().url()).pathname.slice(1);
    if (fake.offline) return route.abort();
    const handler = fake.handlers[method];
    const refuse = (status: number, code: string, message: string) =>
      route.fulfill({ status, contentType: "application/json", body: JSON.stringify({ code, message }) });
    if (fake.revoked) return refuse(401, "unauthenticated", "this token was revoked");
    if (!handler) return refuse(501, "unimplemented", `${method} is not part of this test`);
    try {
      const answer = await handler(route.request().postDataJSON());
      await route.fulfill({ contentType: "application/json", body: JSON.stringify(answer) });
    } catch (failure) {
      if (failure instanceof Refusal) await refuse(400, failure.code, failure.message);
      // else the page has gone while it waited
    }
  });
  return opened;
}

// The page of somebody who has accepted an invite before.
export async function openDashboard(page: Page, fake: FakeReview): Promise<Opened> {
  const opened = await serveFake(page, fake);
  await page.addInitScript(() => localStorage.setItem("backflip.token", "t".repeat(43)));
  await page.goto("/dashboard");
  return opened;
}

export async function expectNoViolations(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(
    violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join("; ")}`),
  ).toEqual([]);
}
