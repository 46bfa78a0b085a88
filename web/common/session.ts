// Who this browser is to the broker: one token for both pages.
const tokenKey = "backflip.token";
const visitorKey = "backflip.visitor";

export function token(): string | undefined {
  return localStorage.getItem(tokenKey) ?? undefined;
}

export function signIn(secret: string, role: string, name: string): void {
  localStorage.setItem(tokenKey, secret);
  localStorage.setItem(visitorKey, JSON.stringify({ role, name }));
}

// What was told when this browser signed in; empty where nothing is known.
export function visitor(): { role: string; name: string } {
  try {
    const { role = "", name = "" } = JSON.parse(localStorage.getItem(visitorKey) ?? "{}");
    return { role: String(role), name: String(name) };
  } catch {
    return { role: "", name: "" }; // written by something else
  }
}

export function forget(): void {
  localStorage.removeItem(tokenKey);
  localStorage.removeItem(visitorKey);
}

export interface Link {
  invite?: string;
  // 0: any.
  run: bigint;
}

// Of `#invite=…&run=…`.
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
