// What this tab holds for the person at it, over its reloads: in the session's
// storage, which browsers keep for each tab and copy with a tab.
import { randomId, sleep } from "../common/dom";
import { token } from "../common/session";

const nameKey = "backflip.tab";
const prefix = "backflip.kept.";

export class Tab {
  // The name stays over reloads; no two open tabs have the same.
  private constructor(readonly name: string) {}

  static async open(): Promise<Tab> {
    const kept = sessionStorage.getItem(nameKey);
    // a reload may be faster than the end of the page before
    const mine = kept && ((await claim(kept)) || (await sleep(300), await claim(kept)));
    const tab = new Tab(mine ? kept : randomId());
    if (!mine) {
      tab.forget(); // a copy of a tab must not hold what that one holds
      sessionStorage.setItem(nameKey, tab.name);
      void claim(tab.name);
    }
    return tab;
  }

  // What was kept for whoever is signed in now. What another version of the
  // page has written, or somebody else's, is none.
  read<T>(key: string): T | undefined {
    try {
      const { whose, what } = JSON.parse(sessionStorage.getItem(prefix + key) ?? "{}");
      return whose === owner() ? (what as T) : undefined;
    } catch {
      return undefined;
    }
  }

  keep(key: string, what: unknown): void {
    try {
      sessionStorage.setItem(prefix + key, JSON.stringify({ whose: owner(), what }));
    } catch {
      sessionStorage.removeItem(prefix + key); // too much: a reload goes on without it
    }
  }

  forget(): void {
    for (const key of Object.keys(sessionStorage)) {
      if (key.startsWith(prefix)) sessionStorage.removeItem(key);
    }
  }
}

// Tells people apart who sign in one after the other; too little to be a secret.
function owner(): string {
  return token()?.slice(0, 8) ?? "";
}

// Until the tab closes; whether nobody else has it.
function claim(name: string): Promise<boolean> {
  if (!navigator.locks) return Promise.resolve(true); // a page without encryption
  return new Promise((resolve) => {
    void navigator.locks.request(`backflip.tab.${name}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock ? new Promise(() => {}) : undefined;
    });
  });
}
