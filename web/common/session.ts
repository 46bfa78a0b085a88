// Who is signed in on this page. Their token is in a cookie that no script can read, one for each
// page; what is kept here is only what the broker said of them.
import { randomId } from "./dom";
import { keys } from "./storage";

export interface Visitor {
  role: string;
  name: string;
  // Tells apart people who sign in one after the other.
  id: string;
}

// What the broker knows this page as: the value of its header Backflip-Page.
export function pageName(): "labeling" | "dashboard" {
  return location.pathname === "/dashboard" ? "dashboard" : "labeling";
}

let onRefusal = () => {};

// `act` is called for each call whose token the broker no longer accepts.
export function onTokenRefused(act: () => void): void {
  onRefusal = act;
}

export function tokenRefused(): void {
  onRefusal();
}

export function signIn(role: string, name: string): void {
  const kept: Visitor = { role, name, id: randomId() };
  localStorage.setItem(keys.visitor + pageName(), JSON.stringify(kept));
}

// undefined: nobody is signed in.
export function visitor(): Visitor | undefined {
  const kept = localStorage.getItem(keys.visitor + pageName());
  if (kept === null) return undefined;
  try {
    const { role = "", name = "", id = "" } = JSON.parse(kept);
    return { role: String(role), name: String(name), id: String(id) };
  } catch {
    return undefined; // written by something else
  }
}

export function forget(): void {
  localStorage.removeItem(keys.visitor + pageName());
}

export interface Link {
  invite?: string;
  // 0: any.
  run: bigint;
}

// What the address says after its #: `#invite=…&run=…`.
export function readLink(): Link {
  const parts = new URLSearchParams(location.hash.slice(1));
  const run = parts.get("run") ?? "";
  return {
    invite: parts.get("invite") ?? undefined,
    run: /^\d{1,18}$/.test(run) ? BigInt(run) : 0n,
  };
}

// Takes the secret out of the address bar and the history.
export function hideInvite(): void {
  const { run } = readLink();
  history.replaceState(null, "", location.pathname + location.search + (run ? `#run=${run}` : ""));
}
