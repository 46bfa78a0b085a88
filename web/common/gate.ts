// What comes before a page: an invite becomes a token, or a notice says what to do.
import { type InviteDescription, InviteRole } from "backflip/v1/people_pb";
import { people } from "./api";
import { button, h, randomId, setText } from "./dom";
import { isFinal, sentence, within } from "./failures";
import { hideInvite, signIn, visitor } from "./session";

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
        location.replace(page + location.hash);
        return await new Promise(() => {});
      }
      return await start(root, secret, invite, welcome);
    } catch (failure) {
      if (visitor() && isFinal(failure)) {
        hideInvite(); // used up by this very browser
        return;
      }
      await new Promise<void>((resolve) => {
        const card = notice(
          root,
          isFinal(failure) ? "This link does not work" : "No connection",
          sentence(failure),
          ...(isFinal(failure) ? ["Ask the person who sent it for a new one."] : []),
        );
        card.append(button("Try again", () => resolve(), { class: "primary" }));
      });
    }
  }
}

function start(
  root: HTMLElement,
  secret: string,
  invite: InviteDescription,
  welcome: Welcome,
): Promise<void> {
  // one press, however often it has to be sent
  const requestId = randomId();
  const query = new URLSearchParams(location.search);
  return new Promise((resolve) => {
    const error = h("p", { class: "error", role: "alert" });
    const go = h("button", { type: "submit", class: "primary large" }, "Start");
    const outside = h("input", {
      type: "text",
      id: "outside",
      required: true,
      maxlength: "128",
      autocomplete: "off",
      value: query.get("PROLIFIC_PID") ?? query.get("participant") ?? "",
    });
    const form = h(
      "form",
      {
        submit: async (event) => {
          event.preventDefault();
          go.disabled = true;
          setText(error, "");
          try {
            const accepted = await people.acceptInvite(
              { secret, requestId, outsideId: invite.needsOutsideId ? outside.value.trim() : "" },
              within(),
            );
            signIn(InviteRole[accepted.role], accepted.name);
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
    notice(
      root,
      welcome.title,
      ...welcome.before(invite),
      form,
      h("p", { class: "quiet" }, welcome.after),
    );
    (invite.needsOutsideId && !outside.value ? outside : go).focus();
  });
}
