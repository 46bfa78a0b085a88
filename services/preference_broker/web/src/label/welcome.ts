// Before the first question: what an invite is, and the Start button. Nothing is
// used up before that is pressed.
import { InviteRole, type InviteDescription } from "backflip/v1/people_pb";
import { isFinal, people, sentence, within } from "../common/api";
import { h, paragraphs, randomId, setText } from "../common/dom";
import { hideInvite, signIn } from "../common/session";

export function notice(root: HTMLElement, title: string, ...content: (string | Node)[]): HTMLElement {
  const card = h("main", { class: "card" }, h("h1", { tabindex: "-1" }, title));
  for (const part of content) card.append(typeof part === "string" ? h("p", { class: "words" }, part) : part);
  root.replaceChildren(h("div", { class: "centred" }, card));
  card.querySelector("h1")!.focus();
  return card;
}

function minutes(count: bigint): string {
  return count === 1n ? "1 minute" : `${count} minutes`;
}

// Resolves once the browser has a token.
export async function welcome(root: HTMLElement, secret: string, hasToken: boolean): Promise<void> {
  for (;;) {
    try {
      const invite = await people.describeInvite({ secret }, within());
      if (invite.role === InviteRole.INVITE_REVIEWER || invite.role === InviteRole.INVITE_OPERATOR) {
        location.replace(`/dashboard${location.hash}`);
        return await new Promise(() => {});
      }
      return await start(root, secret, invite);
    } catch (failure) {
      if (hasToken && isFinal(failure)) {
        // the link was used up by this very browser
        hideInvite();
        return;
      }
      await new Promise<void>((resolve) => {
        const card = notice(
          root,
          isFinal(failure) ? "This link does not work" : "No connection",
          sentence(failure),
          isFinal(failure) ? "Ask whoever sent it for a new one." : "",
        );
        card.append(h("button", { type: "button", class: "primary", click: () => resolve() }, "Try again"));
      });
    }
  }
}

function start(root: HTMLElement, secret: string, invite: InviteDescription): Promise<void> {
  // one press, however often it has to be sent
  const requestId = randomId();
  const query = new URLSearchParams(location.search);
  return new Promise((resolve) => {
    const error = h("p", { class: "error", role: "alert" });
    const button = h("button", { type: "submit", class: "primary large" }, "Start");
    const outside = h("input", {
      type: "text",
      id: "outside",
      required: true,
      maxlength: "128",
      autocomplete: "off",
      value: query.get("PROLIFIC_PID") ?? query.get("participant") ?? "",
    });
    const facts: [string, string][] = [];
    if (invite.price) facts.push(["Pay", invite.price]);
    if (invite.answersWanted > 0n) facts.push(["Length", `${invite.answersWanted} answers`]);
    if (invite.minutesWanted > 0n) facts.push([facts.some(([f]) => f === "Length") ? "or" : "Length", minutes(invite.minutesWanted)]);
    const form = h(
      "form",
      {
        submit: async (event) => {
          event.preventDefault();
          button.disabled = true;
          setText(error, "");
          try {
            const accepted = await people.acceptInvite(
              { secret, requestId, outsideId: invite.needsOutsideId ? outside.value.trim() : "" },
              within(),
            );
            signIn(accepted.token, InviteRole[accepted.role], accepted.name);
            hideInvite();
            resolve();
          } catch (failure) {
            setText(error, sentence(failure));
            button.disabled = false;
          }
        },
      },
      invite.needsOutsideId && h("label", { for: "outside" }, "Your participant id"),
      invite.needsOutsideId && outside,
      error,
      button,
    );
    notice(
      root,
      "You are invited to compare movements",
      h(
        "p",
        {},
        "You will see two short clips side by side, again and again, and say which one answers this question better:",
      ),
      h("p", { class: "asked words" }, invite.question || "Which clip is better?"),
      ...(invite.name && !invite.needsOutsideId ? [h("p", { class: "quiet" }, "You take part as ", h("b", {}, invite.name), ".")] : []),
      ...(facts.length ? [h("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", { class: "words" }, value)]))] : []),
      ...(invite.consent ? [h("section", { class: "consent", "aria-label": "Consent" }, ...paragraphs(invite.consent))] : []),
      form,
      h(
        "p",
        { class: "quiet" },
        "Your answers, when you gave them and how long you looked are stored under this name. This browser stays signed in until you sign out.",
      ),
    );
    (invite.needsOutsideId && !outside.value ? outside : button).focus();
  });
}
