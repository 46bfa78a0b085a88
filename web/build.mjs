// Builds the pages that the broker serves:
//   node build.mjs --out FOLDER [--generated FOLDER] [--protoc PROGRAM]
// makes FOLDER/index.html, FOLDER/dashboard.html and FOLDER/assets/*, whose names
// carry a hash of their content, and a .gz beside each. The client's code for
// the protos is generated beside FOLDER, or where --generated says.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const protos = path.resolve(here, "../proto");
const { values: flags } = parseArgs({
  options: {
    out: { type: "string" },
    generated: { type: "string" },
    protoc: { type: "string", default: "protoc" },
  },
});
if (!flags.out) {
  console.error("usage: node build.mjs --out FOLDER [--generated FOLDER] [--protoc PROGRAM]");
  process.exit(2);
}
const out = path.resolve(flags.out);
const generated = path.resolve(flags.generated ?? `${out}-generated`);

fs.rmSync(generated, { recursive: true, force: true });
fs.mkdirSync(generated, { recursive: true });
const files = ["clip", "label", "options", "people", "review", "run"].map(
  (name) => `backflip/v1/${name}.proto`,
);
execFileSync(
  flags.protoc,
  [
    `--proto_path=${protos}`,
    `--plugin=protoc-gen-es=${path.join(here, "node_modules/.bin/protoc-gen-es")}`,
    `--es_out=${generated}`,
    "--es_opt=target=ts",
    ...files,
  ],
  { stdio: "inherit" },
);

// "backflip/v1/…" is generated code, which finds its libraries where ours does.
fs.symlinkSync(path.join(here, "node_modules"), path.join(generated, "node_modules"));

const staging = `${out}.new`;
fs.rmSync(staging, { recursive: true, force: true });
const pages = ["index.html", "dashboard.html"];
const entries = { label: "label/main.ts", dashboard: "dashboard/main.ts" };
const { metafile } = await esbuild.build({
  absWorkingDir: here,
  entryPoints: entries,
  outdir: path.join(staging, "assets"),
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  target: ["es2022"],
  minify: true,
  legalComments: "none",
  loader: { ".svg": "file" },
  metafile: true,
  alias: { backflip: path.join(generated, "backflip") },
  logLevel: "warning",
});

// A page names its script by the source (label/main.ts) and the styles that
// the script imports beside it (label/main.css).
const names = new Map();
const preloads = new Map();
for (const [file, { entryPoint, cssBundle, imports }] of Object.entries(metafile.outputs)) {
  if (!entryPoint?.endsWith(".ts")) continue;
  const url = (name) => `/assets/${path.basename(name)}`;
  names.set(entryPoint, url(file));
  if (cssBundle) names.set(entryPoint.replace(/\.ts$/, ".css"), url(cssBundle));
  preloads.set(
    entryPoint,
    imports.filter(({ kind }) => kind === "import-statement").map(({ path: chunk }) => url(chunk)),
  );
}
for (const page of pages) {
  let html = fs.readFileSync(path.join(here, page), "utf8");
  for (const [source, url] of names) {
    const chunks = (preloads.get(source) ?? [])
      .map((chunk) => `<link rel="modulepreload" href="${chunk}">\n    `)
      .join("");
    html = html
      .replace(
        `<script type="module" src="${source}">`,
        `${chunks}<script type="module" src="${url}">`,
      )
      .replace(`"${source}"`, `"${url}"`);
  }
  if (/"(label|dashboard)\//.test(html))
    throw new Error(`${page} names a source that was not built`);
  fs.writeFileSync(path.join(staging, page), html);
}

for (const file of fs.readdirSync(staging, { recursive: true })) {
  const name = path.join(staging, file);
  if (fs.statSync(name).isFile()) {
    fs.writeFileSync(`${name}.gz`, gzipSync(fs.readFileSync(name), { level: 9 }));
  }
}
fs.rmSync(out, { recursive: true, force: true });
fs.renameSync(staging, out);
