// Serves the built pages alone, for tests that answer every call themselves; with
// the broker's own security policy.
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, join, resolve } from "node:path";

const web = resolve(import.meta.dirname, "../..", process.env.BACKFLIP_BUILD ?? "build/release", "web");
const types: Record<string, string> = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css" };

export default async function (): Promise<() => Promise<void>> {
  const server = createServer((request, response) => {
    const path = new URL(request.url!, "http://localhost").pathname;
    const file = join(web, { "/": "index.html", "/dashboard": "dashboard.html" }[path] ?? join("assets", basename(path)));
    if (!existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      "Content-Type": types[file.split(".").at(-1)!] ?? "application/octet-stream",
      "Content-Security-Policy":
        "default-src 'self'; img-src 'self' data: blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; " +
        "form-action 'none'; frame-ancestors 'none'",
    });
    createReadStream(file).pipe(response);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  process.env.BACKFLIP_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  };
}
