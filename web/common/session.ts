// Who is signed in on this page. Their token is in a cookie that no script can read, one for each
// page; where the browser takes no cookies it is held here, until the page is closed. What is kept
// is only what the broker said of them.
import { linkParameters } from "./participant";
import { keys, shared } from "./storage";

export interface Visitor {
  role: string;
  name: string;
}

// What the broker knows this page as: the value of its header Backflip-Page.
export function pageName(): "labeling" | "dashboard" {
  return location.pathname === "/dashboard" ? "dashboard" : "labeling";
}

let held = "";

// The headers by which the broker knows who calls. It takes the token from the cookie of the page
// that is named, which other sites cannot have it do.
export function credentials(): Record<string, string> {
  if (held) return { Authorization: `Bearer ${held}` };
  return navigator.cookieEnabled ? { "Backflip-Page": pageName() } : {};
}

let onRefusal = () => {};

// `act` is called for each call whose token the broker no longer accepts.
export function onTokenRefused(act: () => void): void {
  onRefusal = act;
}

export function tokenRefused(): void {
  onRefusal();
}

// `secret`: the token, empty where the broker has put it into a cookie.
export function signIn(secret: string, role: string, name: string): void {
  held = secret;
  shared.set(keys.visitor + pageName(), JSON.stringify({ role, name } satisfies Visitor));
}

// undefined: nobody is signed in.
export function visitor(): Visitor | undefined {
  const kept = shared.get(keys.visitor + pageName());
  if (kept === undefined) return undefined;
  try {
    const { role = "", name = "" } = JSON.parse(kept);
    return { role: String(role), name: String(name) };
  } catch {
    return undefined; // written by something else
  }
}

export function forget(): void {
  held = "";
  shared.remove(keys.visitor + pageName());
}

export interface Link {
  invite?: string;
  // 0: any.
  run: bigint;
}

// What the address says after its #: `#invite=…&run=…`, and what a platform may have put there.
export function readLink(): Link {
  const parts = linkParameters(location.hash);
  const run = parts.get("run") ?? "";
  return {
    invite: /^[\w-]+/.exec(parts.get("invite") ?? "")?.[0],
    run: /^\d{1,18}$/.test(run) ? BigInt(run) : 0n,
  };
}

// Takes the secret and a participant's id out of the address bar and the history.
export function hideInvite(): void {
  const { run } = readLink();
  history.replaceState(null, "", location.pathname + (run ? `#run=${run}` : ""));
}
