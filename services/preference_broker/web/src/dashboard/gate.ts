// Before the dashboard: from an invite to a token, or what to do without one.
import { h, requestId, setText } from "./dom";
import { sentence } from "./dialog";
import type { Call } from "./client";

export interface Visitor {
  token: string;
  role: string;
  name: string;
}

// The token is also the labeling page's; what it is for is not secret.
const tokenKey = "backflip.token";
const visitorKey = "backflip.visitor";

export function remembered(): Visitor | undefined {
  const token = localStorage.getItem(tokenKey);
  if (!token) return undefined;
  let known: Partial<Visitor> = {};
  try {
    known = JSON.parse(localStorage.getItem(visitorKey) ?? "{}");
  } catch {
    // written by something else: as if nothing was
  }
  return { token, role: known.role ?? "", name: known.name ?? "" };
}

export function forget(): void {
  localStorage.removeItem(tokenKey);
  localStorage.removeItem(visitorKey);
}

function remember(visitor: Visitor): void {
  localStorage.setItem(tokenKey, visitor.token);
  localStorage.setItem(visitorKey, JSON.stringify({ role: visitor.role, name: visitor.name }));
}

export function notice(root: HTMLElement, title: string, ...texts: (string | Node)[]): void {
  root.replaceChildren(
    h("main", { class: "gate" }, h("h1", {}, title), ...texts.map((text) => h("p", {}, text))),
  );
}

// Shows what the invite is; resolves when the Start button has been pressed and
// the broker has given a token. Nothing is used up before.
export async function accept(root: HTMLElement, secret: string, call: Call): Promise<Visitor> {
  for (;;) {
    try {
      const invite = await call("PeopleService/DescribeInvite", { secret });
      return await start(root, secret, call, String(invite["name"] ?? ""));
    } catch (failure) {
      await new Promise<void>((resolve) => {
        notice(root, "This link does not work", sentence(failure), "Ask whoever sent it for a new one.");
        root.firstElementChild!.append(
          h("button", { type: "button", on: { click: () => resolve() } }, "Try again"),
        );
      });
    }
  }
}

function start(root: HTMLElement, secret: string, call: Call, name: string): Promise<Visitor> {
  // one press, however often it has to be sent
  const request = requestId();
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
              const visitor = {
                token: String(answer["token"]),
                role: String(answer["role"] ?? ""),
                name: String(answer["name"] ?? name),
              };
              remember(visitor);
              resolve(visitor);
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
