import "uplot/dist/uPlot.min.css";
import "./dashboard.css";
import { enter, notice } from "../common/gate";
import { forget, readLink, token, visitor } from "../common/session";
import { h } from "../common/dom";
import { App } from "./app";
import { type Call, type Json, makeClient } from "./client";
import { SharedPainter } from "./painter";
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
let app: App | undefined;

async function ask(path: string, options: RequestInit): Promise<Response> {
  const headers = new Headers(options.headers);
  const secret = token();
  if (secret) headers.set("Authorization", `Bearer ${secret}`);
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
    if (code === "unauthenticated" && secret) signedOut();
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
  app?.stop();
  forget();
  notice(
    root,
    "You are signed out",
    "To come back, open a link that “backflip labeler invite --role reviewer” has printed.",
  );
}

async function main(): Promise<void> {
  const { invite, run } = readLink();
  if (invite) {
    await enter(root, invite, {
      title: "Backflip dashboard",
      before: ({ name }) => [name ? `You are invited as “${name}”.` : "You are invited."],
      after: "This browser stays signed in until you sign out.",
    });
  }
  if (!token()) {
    signedOut();
    return;
  }
  const { role, name } = visitor();
  if (role === "INVITE_LABELER" || role === "INVITE_TEACHER") {
    notice(
      root,
      "This page is for reviewers",
      h("p", {}, "Your link is for labeling: ", h("a", { href: "/" }, "go to the labeling page")),
    );
    return;
  }
  const client = makeClient(call);
  const theatre = new Theatre(
    new SharedPainter(async (hash) => (await ask(`/scenes/${hash}.glb`, {})).arrayBuffer()),
  );
  app = new App(root, {
    client,
    theatre,
    // of a token whose role is not known the broker decides
    operator: role !== "INVITE_REVIEWER",
    name,
    signOut: () => void call("PeopleService/SignOut", {}).finally(signedOut),
  });
  await app.start(Number(run));
}

void main();
