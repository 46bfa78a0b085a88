// What this tab keeps for the person at it over reloads: in sessionStorage, which
// browsers keep for each tab, and copy when a tab is duplicated.
import { randomId, sleep } from "../common/dom";
import { visitor } from "../common/session";
import { keys, ofTab } from "../common/storage";

export class Tab {
  // `name` stays the same over reloads; no two open tabs share one.
  private constructor(readonly name: string) {}

  static async open(): Promise<Tab> {
    const kept = ofTab.get(keys.tab);
    // a reload may be faster than the end of the page before
    let mine = kept !== undefined && (await claim(kept));
    if (kept && !mine) {
      await sleep(300);
      mine = await claim(kept);
    }
    const tab = new Tab(kept && mine ? kept : randomId());
    if (!mine) {
      tab.forget(); // a copied tab must not hold the same questions
      ofTab.set(keys.tab, tab.name);
      void claim(tab.name);
    }
    return tab;
  }

  // What was kept for the person who is signed in now; not what another person, or
  // another version of the page, has kept.
  read<T>(key: string): T | undefined {
    try {
      const { whose, what } = JSON.parse(ofTab.get(keys.kept + key) ?? "{}");
      return whose === visitor()?.name ? (what as T) : undefined;
    } catch {
      return undefined;
    }
  }

  keep(key: string, what: unknown): void {
    ofTab.set(keys.kept + key, JSON.stringify({ whose: visitor()?.name, what }));
  }

  forget(): void {
    for (const name of ofTab.names(keys.kept)) ofTab.remove(name);
  }
}

// Takes a name until the tab closes. False: another tab has it.
function claim(name: string): Promise<boolean> {
  if (!navigator.locks) return Promise.resolve(true); // a page without encryption
  return new Promise((resolve) => {
    const held = navigator.locks.request(`backflip.tab.${name}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock ? new Promise(() => {}) : undefined;
    });
    held.catch(() => resolve(true)); // forbidden, as is what tabs could share
  });
}
