// The dashboard page.
import "uplot/dist/uPlot.min.css";
import "../common/base.css";
import "./dashboard.css";
import "./panels.css";
import "./dialogs.css";
import "./small_screens.css";
import { fetchScene, labeling, people } from "../common/api";
import { h } from "../common/dom";
import { within } from "../common/failures";
import { enter, notice } from "../common/gate";
import { forget, onTokenRefused, readLink, token, visitor } from "../common/session";
import { sendUnsent } from "../label/outbox";
import { CanvasRenderer } from "../viewer/canvas_renderer";
import { App } from "./app";
import { BrokerClient } from "./client";

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
      leave: () => sendUnsent(labeling),
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
  app = new App(root, {
    client: new BrokerClient(),
    renderer: new CanvasRenderer(fetchScene),
    // where the role is not known the broker decides
    operator: role !== "INVITE_REVIEWER",
    name,
    signOut: () => void people.signOut({}, within()).finally(signedOut),
  });
  await app.start(Number(run));
}

onTokenRefused(signedOut);
void main();
