// Compares what MuJoCo draws of tasks and models with what the pages draw, from the same poses:
//   node silhouettes.mjs TASK_OR_MODEL …
// prints a line of JSON for each: see compare.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "@playwright/test";
import { launchOptions } from "./browser.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const program = resolve(root, process.env.BACKFLIP_BUILD ?? "build/release", "bin/silhouettes");
const width = 640;
const height = 480;
const nearest = width * height * 0.75;

export async function openPage(browser) {
  const { buildSync } = createRequire(join(root, "web/package.json"))("esbuild");
  const built = buildSync({
    entryPoints: [join(here, "silhouette_page.ts")],
    nodePaths: [join(root, "web/node_modules")],
    bundle: true,
    write: false,
    format: "iife",
  });
  const page = await browser.newPage();
  await page.addScriptTag({ content: built.outputFiles[0].text });
  return page;
}

// Intersection over union of what is marked `what` in both; `from`: the first pixel that counts.
function shared(mujoco, page, what, from = 0) {
  let both = 0;
  let either = 0;
  for (let i = from; i < mujoco.length; ++i) {
    const a = mujoco[i] === what;
    const b = page[i] === what;
    both += a && b;
    either += a || b;
  }
  return either === 0 ? 1 : both / either;
}

function unpack(runs) {
  let seen = "";
  for (let i = 0; i < runs.length; i += 2) {
    seen += (runs[i] === -1 ? "." : runs[i] === -2 ? "f" : "p").repeat(runs[i + 1]);
  }
  return seen;
}

// {"name"; of the moments: "overlap", the least intersection over union of what is no plane,
// "floors", the same of planes in the lowest quarter, since the page's end in haze, "shares", of the picture that the robot fills, "inside", whether it
// stays in it; "distance": between where a part is and where MuJoCo has it, the greatest, in m}; or
// {"name", "error"}.
export async function compare(page, look) {
  if (look.error) return { name: look.name, error: look.error };
  const glb = readFileSync(look.glb).toString("base64");
  const parts = await page.evaluate(
    ([glb, poses]) => window.show(glb, poses),
    [glb, look.moments[0].poses],
  );
  const order = (list) => list.slice().sort((a, b) => a[0] - b[0]);
  const wanted = order(look.parts);
  const distances = order(parts).map(([body, ...place], i) =>
    body === wanted[i]?.[0] ? Math.hypot(...place.map((v, k) => v - wanted[i][k + 1])) : Infinity,
  );
  const result = { name: look.name, overlap: 1, floors: 1, shares: [], inside: true };
  result.distance = wanted.length === parts.length ? Math.max(0, ...distances) : Infinity;
  for (const { poses, seen, share, inside } of look.moments) {
    const drawn = await page.evaluate(
      ([poses, w, h]) => window.draw(poses, w, h),
      [poses, width, height],
    );
    const mujoco = unpack(seen);
    result.overlap = Math.min(result.overlap, shared(mujoco, drawn, "p"));
    result.floors = Math.min(result.floors, shared(mujoco, drawn, "f", nearest));
    result.shares.push(share);
    result.inside &&= inside;
  }
  return result;
}

// What MuJoCo draws of each path, one after the other.
export async function* looks(paths) {
  const folder = mkdtempSync(join(tmpdir(), "backflip-silhouettes-"));
  try {
    const child = spawn(program, [width, height, folder, ...paths], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const browser = await chromium.launch(launchOptions);
  const page = await openPage(browser);
  for await (const look of looks(process.argv.slice(2))) {
    console.log(JSON.stringify(await compare(page, look)));
  }
  await browser.close();
}
