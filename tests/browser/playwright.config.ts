import { defineConfig } from "@playwright/test";
import { launchOptions } from "./browser.mjs";

export default defineConfig({
  testDir: ".",
  outputDir: "../../build/browser/results",
  // however slow and busy the machine is
  timeout: 300_000,
  expect: { timeout: 60_000 },
  // all tests share one broker, and two cores
  workers: 1,
  reporter: [["list"], ["junit", { outputFile: "../../build/browser/junit.xml" }]],
  use: { screenshot: "only-on-failure", viewport: { width: 1280, height: 800 }, launchOptions },
});
