// Before the dashboard: from an invite to a token, or what to do without one.
import { hideInvite, signIn, token } from "../common/session";
import type { Call } from "./client";
import { sentence } from "./dialog";
import { randomId, setText } from "../common/dom";
import { h } from "./dom";

export function notice(root: HTMLElement, title: string, ...texts: (string | Node)[]): void {
  root.replaceChildren(
    h("main", { class: "gate" }, h("h1", {}, title), ...texts.map((text) => h("p", {}, text))),
  );
}

// Shows what the invite is; resolves when the Start button has been pressed and
// the broker has given a token. Nothing is used up before.
export async function accept(root: HTMLElement, secret: string, call: Call): Promise<void> {
  for (;;) {
    try {
      const invite = await call("PeopleService/DescribeInvite", { secret });
      if (invite["role"] === "INVITE_LABELER") {
        location.replace(`/${location.hash}`);
        return await new Promise(() => {});
      }
      return await start(root, secret, call, String(invite["name"] ?? ""));
    } catch (failure) {
      if (token() && (failure as { code?: string }).code === "not_found") {
        hideInvite(); // used up by this very browser
        return;
      }
      await new Promise<void>((resolve) => {
        notice(root, "This link does not work", sentence(failure), "Ask whoever sent it for a new one.");
        root.firstElementChild!.append(
          h("button", { type: "button", on: { click: () => resolve() } }, "Try again"),
        );
      });
    }
  }
}

function start(root: HTMLElement, secret: string, call: Call, name: string): Promise<void> {
  // one press, however often it has to be sent
  const request = randomId();
  return new Promise((resolve) => {
    const error = h("p", { class: "error", attributes: { role: "alert" } });
    const button = h(
      "button",
      {
        type: "button",
        class: "primary",
        on: {
          click: async () => {
            button.disabled = true;
            setText(error, "");
            try {
              const answer = await call("PeopleService/AcceptInvite", { secret, requestId: request });
              signIn(String(answer["token"]), String(answer["role"] ?? ""), String(answer["name"] ?? name));
              hideInvite();
              resolve();
            } catch (failure) {
              setText(error, sentence(failure));
              button.disabled = false;
            }
          },
        },
      },
      "Start",
    );
    notice(
      root,
      "Backflip dashboard",
      name ? `You are invited as “${name}”.` : "You are invited.",
      "This browser stays signed in until you sign out.",
    );
    root.firstElementChild!.append(error, button);
    button.focus();
  });
}
