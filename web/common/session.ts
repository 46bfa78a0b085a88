// The token by which the broker knows this browser, one for both pages.
import { keys } from "./storage";

export function token(): string | undefined {
  return localStorage.getItem(keys.token) ?? undefined;
}

let onRefusal = () => {};

// `act` is called for each call whose token the broker no longer accepts.
export function onTokenRefused(act: () => void): void {
  onRefusal = act;
}

export function tokenRefused(): void {
  onRefusal();
}

export function signIn(secret: string, role: string, name: string): void {
  localStorage.setItem(keys.token, secret);
  localStorage.setItem(keys.visitor, JSON.stringify({ role, name }));
}

// Role and name that the broker gave when this browser signed in; empty: not known.
export function visitor(): { role: string; name: string } {
  try {
    const { role = "", name = "" } = JSON.parse(localStorage.getItem(keys.visitor) ?? "{}");
    return { role: String(role), name: String(name) };
  } catch {
    return { role: "", name: "" }; // written by something else
  }
}

export function forget(): void {
  localStorage.removeItem(keys.token);
  localStorage.removeItem(keys.visitor);
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
