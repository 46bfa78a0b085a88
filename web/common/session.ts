// The token by which the broker knows this browser, one for both pages.
import { linkParameters } from "./participant";
import { keys, shared } from "./storage";

export function token(): string | undefined {
  return shared.get(keys.token);
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
  shared.set(keys.token, secret);
  shared.set(keys.visitor, JSON.stringify({ role, name }));
}

// Role and name that the broker gave when this browser signed in; empty: not known.
export function visitor(): { role: string; name: string } {
  try {
    const { role = "", name = "" } = JSON.parse(shared.get(keys.visitor) ?? "{}");
    return { role: String(role), name: String(name) };
  } catch {
    return { role: "", name: "" }; // written by something else
  }
}

export function forget(): void {
  shared.remove(keys.token);
  shared.remove(keys.visitor);
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
