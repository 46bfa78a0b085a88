// What the pages draw is what MuJoCo draws: silhouettes and places of bodies, from the same poses.
import { readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "@playwright/test";
import { compare, looks, openPage } from "./silhouettes.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const inFolder = (folder: string, wanted: RegExp) =>
  readdirSync(join(root, folder))
    .filter((name) => wanted.test(name))
    .map((name) => join(root, folder, name));
const awkward = inFolder("tests/models", /\.(xml|urdf)$/);
const tasks = inFolder("tasks", /^[a-z0-9_]+$/);

test("the page shows the bodies and floors that MuJoCo shows, where it shows them", async ({
  browser,
}) => {
  test.setTimeout(600_000);
  const page = await openPage(browser);
  let count = 0;
  for await (const look of looks([...tasks, ...awkward])) {
    const found = await compare(page, look);
    expect.soft(found.error, found.name).toBeUndefined();
    expect.soft(found.overlap, found.name).toBeGreaterThan(0.9);
    expect.soft(found.floors, found.name).toBeGreaterThan(0.9);
    expect.soft(found.distance, found.name).toBeLessThan(1e-4);
    ++count;
  }
  expect(count).toBe(tasks.length + awkward.length);
});

test("a new task's camera shows the robot at a quarter to three quarters of the picture", async ({
  browser,
}) => {
  test.setTimeout(600_000);
  const page = await openPage(browser);
  for await (const look of looks(awkward)) {
    const found = await compare(page, look);
    expect.soft(found.inside, found.name).toBe(true);
    expect.soft(Math.min(...found.shares), found.name).toBeGreaterThan(0.25);
    expect.soft(Math.max(...found.shares), found.name).toBeLessThan(0.75);
  }
});
