// Runs the unit tests of the pages (*.test.ts) in Node.js:
//   node test.mjs [--generated FOLDER] [options of node --test]
// FOLDER: where build.mjs has put the client's code for the protos.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const args = process.argv.slice(2);
const generated = path.resolve(
  args[0] === "--generated"
    ? args.splice(0, 2)[1]
    : path.join(here, "../build/release/web-generated"),
);
const entryPoints = fs
  .readdirSync(here, { recursive: true })
  .filter((file) => file.endsWith(".test.ts") && !file.startsWith("node_modules"));
const out = fs.mkdtempSync(path.join(generated, "tests-"));
try {
  await esbuild.build({
    absWorkingDir: here,
    entryPoints,
    outdir: out,
    outbase: here,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    sourcemap: "inline",
    alias: { backflip: path.join(generated, "backflip") },
    logLevel: "warning",
  });
  const files = entryPoints.map((file) => path.join(out, file.replace(/\.ts$/, ".mjs")));
  const { status } = spawnSync(
    process.execPath,
    [
      "--enable-source-maps",
      "--disable-warning=ExperimentalWarning",
      "--test",
      "--test-reporter=spec",
      ...args,
      ...files,
    ],
    { stdio: "inherit" },
  );
  process.exitCode = status ?? 1;
} finally {
  fs.rmSync(out, { recursive: true });
}
