// Who is signed in on this page. Their token is in a cookie that no script can read, one for each
// page; where the browser takes no cookies it is held here, until the page is closed. What is kept
// is only what the broker said of them.
import { linkParameter } from "./participant";
import { keys, shared } from "./storage";

export interface Visitor {
  role: string;
  name: string;
  // By which link they came, and with which participant's id; empty: not known.
  link?: string;
  participant?: string;
}

// A number that tells texts apart (FNV-1a), from which none can be made again.
function markOf(text: string): string {
  let mark = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text))
    mark = ((mark ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return mark.toString(16);
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

// `secret`: the token, empty where the broker has put it into a cookie. `invite`, `outsideId`: what
// they have come by.
export function signIn(
  secret: string,
  role: string,
  name: string,
  invite = "",
  outsideId = "",
): void {
  held = secret;
  const kept: Visitor = { role, name, link: markOf(invite), participant: markOf(outsideId) };
  shared.set(keys.visitor + pageName(), JSON.stringify(kept));
}

// Whether who is signed in came by this very link, as far as it says who they are.
export function cameBy(invite: string, outsideId: string): boolean {
  const { link, participant } = visitor() ?? {};
  return link === markOf(invite) && (!outsideId || participant === markOf(outsideId));
}

// undefined: nobody is signed in.
export function visitor(): Visitor | undefined {
  const kept = shared.get(keys.visitor + pageName());
  if (kept === undefined) return undefined;
  try {
    const { role = "", name = "", link = "", participant = "" } = JSON.parse(kept);
    return {
      role: String(role),
      name: String(name),
      link: String(link),
      participant: String(participant),
    };
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
  const run = linkParameter(location, "run") ?? "";
  return {
    invite: /^[\w-]+/.exec(linkParameter(location, "invite") ?? "")?.[0],
    run: /^\d{1,18}$/.test(run) ? BigInt(run) : 0n,
  };
}

// Puts a link whose # was encoded, or that leads to a file, right. False: there is nothing at the
// address.
export function mendAddress(): boolean {
  if (location.pathname === "/" || location.pathname === "/dashboard") return true;
  const path = location.pathname.replace(/^\/(index\.html)?(%23)?/, "");
  const parts = [path, location.hash.slice(1)].filter(Boolean).join("&");
  if (!linkParameter({ search: location.search, hash: `#${parts}` }, "invite"))
    return location.pathname === "/index.html";
  history.replaceState(null, "", `/${location.search}#${parts}`);
  return true;
}

// Takes the secret and a participant's id out of the address bar and the history.
export function hideInvite(): void {
  const { run } = readLink();
  const page = pageName() === "dashboard" ? "/dashboard" : "/";
  history.replaceState(null, "", page + (run ? `#run=${run}` : ""));
}
