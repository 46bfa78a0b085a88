import "uplot/dist/uPlot.min.css";
import "./dashboard.css";
import { access, fetchScene, people, within } from "../common/api";
import { enter, notice } from "../common/gate";
import { forget, readLink, token, visitor } from "../common/session";
import { h } from "../common/dom";
import { App } from "./app";
import { makeClient } from "./client";
import { CanvasRenderer } from "../viewer/canvas_renderer";
import { Theatre } from "./player";

const root = document.getElementById("app")!;
let app: App | undefined;

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
  const client = makeClient();
  const theatre = new Theatre(new CanvasRenderer(fetchScene));
  app = new App(root, {
    client,
    theatre,
    // of a token whose role is not known the broker decides
    operator: role !== "INVITE_REVIEWER",
    name,
    signOut: () => void people.signOut({}, within()).finally(signedOut),
  });
  await app.start(Number(run));
}

access.ended = signedOut;
void main();
