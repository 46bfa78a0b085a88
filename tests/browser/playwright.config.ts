import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: ".",
  // for the dashboard, whose tests make the answers up; labeling has a broker
  globalSetup: "./pages.ts",
  outputDir: "../../build/browser/results",
  timeout: 60_000,
  expect: { timeout: 15_000 },
  // all tests share one broker and two cores
  workers: 1,
  reporter: [["list"], ["junit", { outputFile: "../../build/browser/junit.xml" }]],
  use: {
    baseURL: process.env.BACKFLIP_URL,
    viewport: { width: 1280, height: 800 },
    trace: "retain-on-failure",
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: [
        // as root, which containers are
        "--no-sandbox",
        // WebGL in software, everywhere the same
        "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
        "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync",
      ],
    },
  },
});
