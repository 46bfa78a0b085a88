import "uplot/dist/uPlot.min.css";
import "./dashboard.css";
import { App } from "./app";
import { type Call, type Json, makeClient } from "./client";
import { accept, forget, notice, remembered, type Visitor } from "./gate";
import { h } from "./dom";
import { makePainter } from "./painter";
import { Theatre } from "./player";

// What the broker refused, and its code of the Connect protocol.
class Refused extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

const root = document.getElementById("app")!;
let visitor: Visitor | undefined;
let app: App | undefined;

async function ask(path: string, options: RequestInit): Promise<Response> {
  const headers = new Headers(options.headers);
  if (visitor) headers.set("Authorization", `Bearer ${visitor.token}`);
  let answer: Response;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (failure) {
    if (options.signal?.aborted) throw failure;
    throw new Refused("unavailable", "The broker does not answer: the connection is lost, or it starts again.");
  }
  if (!answer.ok) {
    const refusal: Json = await answer.json().catch(() => ({}));
    const code = String(refusal["code"] ?? "unknown");
    if (code === "unauthenticated" && visitor) signedOut();
    throw new Refused(code, String(refusal["message"] ?? `the broker answered ${answer.status}`));
  }
  return answer;
}

const call: Call = async (method, request, signal) =>
  (
    await ask(`/backflip.v1.${method}`, {
      method: "POST",
      body: JSON.stringify(request),
      headers: { "Content-Type": "application/json" },
      ...(signal ? { signal } : {}),
    })
  ).json();

function signedOut(): void {
  visitor = undefined;
  app?.stop();
  forget();
  notice(
    root,
    "You are signed out",
    "To come back, open a link that “backflip labeler invite --role reviewer” has printed.",
  );
}

async function main(): Promise<void> {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const secret = fragment.get("invite");
  const run = Number(fragment.get("run")) || 0;
  visitor = secret ? await accept(root, secret, call) : remembered();
  if (secret) history.replaceState(null, "", run ? `#run=${run}` : location.pathname);
  if (!visitor) {
    signedOut();
    return;
  }
  if (visitor.role === "INVITE_LABELER" || visitor.role === "INVITE_TEACHER") {
    notice(root, "This page is for reviewers", "Your link is for labeling: ", h("a", { href: "/" }, "go to the labeling page"));
    return;
  }
  const client = makeClient(call);
  const theatre = new Theatre(
    makePainter(async (hash) => (await ask(`/scenes/${hash}.glb`, {})).arrayBuffer()),
  );
  app = new App(root, {
    client,
    theatre,
    // of a token whose role is not known the broker decides
    operator: visitor.role !== "INVITE_REVIEWER",
    name: visitor.name,
    signOut: () => void call("PeopleService/SignOut", {}).finally(signedOut),
  });
  await app.start(run);
}

void main();
