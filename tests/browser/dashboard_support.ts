// Serves the built pages and a FakeReview: every request is answered in the
// test's own process, so that a test sees each call and can move the run.

import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { AxeBuilder } from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";
import { type FakeReview, hopperScene, Refusal } from "./dashboard_data";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const web = join(root, process.env.BACKFLIP_BUILD ?? "build/release", "web");

// Browsers take a name below localhost for a secure origin, and nothing listens there.
export const address = "http://dashboard.localhost";
// As the broker sends it.
const policy =
  "default-src 'self'; img-src 'self' data: blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'";

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
  await page.route(`${address}/**`, (route) => {
    const { pathname } = new URL(route.request().url());
    const headers = { "Content-Security-Policy": policy };
    if (pathname.startsWith("/scenes/")) return route.fulfill({ headers, body: hopperScene() });
    const path = join(web, pathname === "/dashboard" ? "dashboard.html" : pathname);
    return existsSync(path) ? route.fulfill({ headers, path }) : route.fulfill({ status: 404 });
  });
  await page.route(/\/backflip\.v1\.\w+\/\w+$/, async (route) => {
    const method = new URL(route.request().url()).pathname.slice(1);
    if (fake.offline) return route.abort();
    const handler = fake.handlers[method];
    const refuse = (status: number, code: string, message: string) =>
      route.fulfill({
        status,
        contentType: "application/json",
        body: JSON.stringify({ code, message }),
      });
    if (fake.revoked) return refuse(401, "unauthenticated", "this token was revoked");
    if (!handler) return refuse(501, "unimplemented", `${method} is not part of this test`);
    try {
      const answer = await handler(JSON.parse(route.request().postData() ?? "{}", asNumber));
      await route.fulfill({ contentType: "application/json", body: JSON.stringify(answer) });
    } catch (failure) {
      if (failure instanceof Refusal) await refuse(400, failure.code, failure.message);
      // else the page has gone while it waited
    }
  });
  return opened;
}

// Of 64-bit numbers, which are texts in JSON.
function asNumber(key: string, value: unknown): unknown {
  return /(Id|Version|Revision)$/.test(key) && /^\d{1,15}$/.test(String(value))
    ? Number(value)
    : value;
}

// The page in a browser that has accepted an invite before.
export async function openDashboard(page: Page, fake: FakeReview): Promise<Opened> {
  const opened = await serveFake(page, fake);
  await page.addInitScript(() => localStorage.setItem("backflip.visitor.dashboard", "{}"));
  await page.goto(`${address}/dashboard`);
  return opened;
}

export async function expectNoViolations(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(
    violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join("; ")}`),
  ).toEqual([]);
}
