// The labeling page.
import "../common/base.css";
import "./label.css";
import "./start.css";
import "./labeling.css";
import "./ranking.css";
import "./small_screens.css";
import { Code, ConnectError } from "@connectrpc/connect";
import { fetchScene, labeling, people } from "../common/api";
import { h, setText } from "../common/dom";
import { Backoff, isSignedOut, sentence, within } from "../common/failures";
import { enter, notice } from "../common/gate";
import { forget, mendAddress, pageName, readLink, visitor } from "../common/session";
import { keys } from "../common/storage";
import { SceneCache } from "../viewer/scene";
import { showGuide } from "./guide";
import { useLayout } from "./keymap";
import { Labeling } from "./labeling";
import { QuestionClips } from "./question_clips";
import { Tab } from "./tab";
import { welcome } from "./welcome";

const root = document.getElementById("app")!;

function signedOut(title: string, text: string): void {
  forget();
  notice(root, title, text, "To come back, open a link that you were sent.");
}

// Not every browser tells it, and none on a page without encryption.
interface Keyboard {
  getLayoutMap(): Promise<ReadonlyMap<string, string>>;
}

async function begin(): Promise<void> {
  const { keyboard } = navigator as { keyboard?: Keyboard };
  const layout = keyboard?.getLayoutMap().then(useLayout, () => {});
  if (!mendAddress()) {
    const home = h("a", { href: "/" }, "To the labeling page");
    notice(
      root,
      "There is nothing at this address",
      "Open the link that you were sent once more, whole: it may have been cut or changed on its way.",
      h("p", {}, home),
    );
    return;
  }
  const link = readLink();
  if (link.invite) await enter(root, link.invite, welcome);
  if (!visitor()) {
    notice(
      root,
      "Backflip",
      "Open the link that you were sent. It begins with this address, and ends with a key that lets you in.",
    );
    return;
  }
  await layout;
  const opening = Tab.open();
  const clips = new QuestionClips(new SceneCache(fetchScene));
  const backoff = new Backoff();
  const status = h("p", { role: "status" }, "Fetching the first clips …");
  root.replaceChildren(h("div", { class: "centred" }, h("main", { class: "gate still" }, status)));
  for (;;) {
    try {
      const session = await labeling.getSession({ runId: link.run }, within());
      if (session.guideUnread) {
        const guide = await labeling.getGuide({ runId: session.runId }, within());
        await showGuide(root, clips, guide);
      }
      new Labeling(root, clips, link.run, session, await opening, {
        signedOut: () =>
          signedOut(
            "Your access has ended",
            "The people who run this have ended your access. Answers that were sent are kept.",
          ),
        signOut: async () => {
          await people.signOut({}, within());
          signedOut("You are signed out", "Thank you for your answers.");
        },
      });
      return;
    } catch (failure) {
      if (isSignedOut(failure)) {
        signedOut("Your access has ended", "This browser’s access is no longer accepted.");
        return;
      }
      setText(status, sentence(failure));
      if (failure instanceof ConnectError && failure.code === Code.PermissionDenied) {
        status.after(h("p", {}, h("a", { href: "/dashboard" }, "To the dashboard")));
        return;
      }
      await backoff.wait();
    }
  }
}

void begin();
// somebody else has signed in, in another tab
addEventListener("storage", ({ key }) => {
  if (key === keys.visitor + pageName()) location.reload();
});
// another link in the same tab
addEventListener("hashchange", () => {
  if (readLink().invite) location.reload();
});
