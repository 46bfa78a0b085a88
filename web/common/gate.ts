// What comes before a page: an invite becomes a token, or a notice says what to do.
import { type InviteDescription, InviteRole } from "backflip/v1/people_pb";
import { people } from "./api";
import { button, h, randomId, setText } from "./dom";
import { isFinal, sentence, within } from "./failures";
import { participantOf, visibleId } from "./participant";
import { cameBy, hideInvite, signIn, visitor } from "./session";
import { keys, ofTab, shared } from "./storage";

type Content = string | Node;

export function notice(root: HTMLElement, title: string, ...content: Content[]): HTMLElement {
  const card = h("main", { class: "gate" }, h("h1", { tabindex: -1 }, title));
  for (const part of content)
    card.append(typeof part === "string" ? h("p", { class: "words" }, part) : part);
  root.replaceChildren(h("div", { class: "centred" }, card));
  card.querySelector("h1")!.focus();
  return card;
}

// What a page says to the people it invites.
export interface Welcome {
  title: string;
  // Above the Start button, and below.
  before(invite: InviteDescription): Content[];
  after: string;
  // Ends what the person does who was signed in here until now. Fails, with a sentence, where
  // nobody else may sign in yet.
  leave?(): Promise<void>;
}

// The id of a press of Start, the same however often it is sent, and after a reload, so that a
// token that was lost on its way is replaced by another.
function startRequest(secret: string, outsideId: string): string {
  const whose = ` ${secret} ${outsideId}`;
  const kept = ofTab.get(keys.start);
  const request = kept?.endsWith(whose) ? kept : randomId() + whose;
  ofTab.set(keys.start, request);
  return request.slice(0, -whose.length);
}

// Shows what the invite is; resolves when the Start button has been pressed and
// the broker has given a token. Nothing is used up before.
export async function enter(root: HTMLElement, secret: string, welcome: Welcome): Promise<void> {
  for (;;) {
    try {
      const invite = await people.describeInvite({ secret }, within());
      const reviews =
        invite.role === InviteRole.INVITE_REVIEWER || invite.role === InviteRole.INVITE_OPERATOR;
      const page = reviews ? "/dashboard" : "/";
      if (page !== location.pathname) {
        location.replace(page + location.search + location.hash);
        return await new Promise(() => {});
      }
      return await start(root, secret, invite, welcome);
    } catch (failure) {
      const usedHere = isFinal(failure) && cameBy(secret, participantOf(location).id);
      if (usedHere || (await refused(root, failure))) {
        hideInvite();
        return;
      }
    }
  }
}

// Says that the link cannot be used. True: who is signed in here goes on; false: it is to be tried
// again.
function refused(root: HTMLElement, failure: unknown): Promise<boolean> {
  const final = isFinal(failure);
  const here = final ? visitor() : undefined;
  return new Promise((resolve) => {
    const card = notice(
      root,
      final ? "This link does not work" : "No connection",
      sentence(failure),
      ...(final ? ["Ask the person who sent it for a new one."] : []),
      ...(here ? [`This browser is signed in as ${here.name}.`] : []),
    );
    card.append(
      button("Try again", () => resolve(false), { class: here ? "" : "primary" }),
      ...(here ? [button(`Go on as ${here.name}`, () => resolve(true), { class: "words" })] : []),
    );
  });
}

function start(
  root: HTMLElement,
  secret: string,
  invite: InviteDescription,
  welcome: Welcome,
): Promise<void> {
  const participant = participantOf(location);
  return new Promise((resolve) => {
    const error = h("p", { class: "error", role: "alert" });
    const go = h("button", { type: "submit", class: "primary large" }, "Start");
    const outside = h("input", {
      type: "text",
      id: "outside",
      required: true,
      maxlength: "64",
      autocomplete: "off",
      value: participant.id,
    });
    const form = h(
      "form",
      {
        submit: async (event) => {
          event.preventDefault();
          go.disabled = true;
          setText(error, "");
          try {
            await welcome.leave?.();
            const outsideId = invite.needsOutsideId ? visibleId(outside.value) : "";
            const requestId = startRequest(secret, outsideId);
            const accepted = await people.acceptInvite({ secret, requestId, outsideId }, within());
            ofTab.remove(keys.start);
            signIn(accepted.token, InviteRole[accepted.role], accepted.name, secret, outsideId);
            hideInvite();
            resolve();
          } catch (failure) {
            setText(error, sentence(failure));
            go.disabled = false;
          }
        },
      },
      invite.needsOutsideId && h("label", { for: "outside" }, "Your participant id"),
      invite.needsOutsideId && outside,
      error,
      go,
    );
    if (participant.preview && invite.needsOutsideId) {
      const words = "This is a preview. Accept the task on the platform: then it starts here.";
      notice(root, welcome.title, ...welcome.before(invite), h("p", { role: "status" }, words));
      return;
    }
    const forgetful =
      "This browser keeps nothing for this page: site data is blocked, or full. You can answer, but once the page is loaded anew you are signed out, and what was not sent is lost. Allow site data for this address to avoid that.";
    notice(
      root,
      welcome.title,
      ...welcome.before(invite),
      ...(shared.lasts && navigator.cookieEnabled
        ? []
        : [h("p", { class: "error", role: "status" }, forgetful)]),
      form,
      h("p", { class: "quiet" }, welcome.after),
    );
    (invite.needsOutsideId && !outside.value ? outside : go).focus();
  });
}
