// What the pages keep in the browser: under which names, and how.
export const keys = {
  // In `shared`, for all tabs. And the page's name.
  visitor: "backflip.visitor.",
  speed: "backflip.speed",
  // And the key of an answer that has not been acknowledged.
  unsent: "backflip.unsent.",
  // In `ofTab`, for one tab.
  tab: "backflip.tab",
  start: "backflip.start",
  // And what is kept.
  kept: "backflip.kept.",
} as const;

// Goes on in memory, until the page is closed, where the browser keeps nothing: people can forbid
// it, and it may be full.
export class Kept {
  private readonly memory = new Map<string, string>();
  private browser?: Storage;

  constructor(open: () => Storage) {
    try {
      this.browser = open(); // throws where it is forbidden
    } catch {
      this.browser = undefined;
    }
  }

  // Whether anything outlives the page.
  get lasts(): boolean {
    const probe = "backflip.probe";
    this.set(probe, "");
    const lasts = !this.memory.has(probe);
    this.remove(probe);
    return lasts;
  }

  get(name: string): string | undefined {
    return this.memory.get(name) ?? this.attempt((browser) => browser.getItem(name)) ?? undefined;
  }

  set(name: string, value: string): void {
    try {
      this.browser!.setItem(name, value);
      this.memory.delete(name);
    } catch {
      this.attempt((browser) => browser.removeItem(name));
      this.memory.set(name, value);
    }
  }

  remove(name: string): void {
    this.memory.delete(name);
    this.attempt((browser) => browser.removeItem(name));
  }

  names(prefix: string): string[] {
    const kept = this.attempt((browser) =>
      Array.from({ length: browser.length }, (_, at) => browser.key(at)!),
    );
    return [...(kept ?? []), ...this.memory.keys()].filter((name) => name.startsWith(prefix));
  }

  // A browser whose file of it is damaged (Firefox) gives a storage that throws at every use.
  private attempt<T>(use: (browser: Storage) => T): T | undefined {
    try {
      return this.browser ? use(this.browser) : undefined;
    } catch {
      this.browser = undefined;
      return undefined;
    }
  }
}

export const shared = new Kept(() => localStorage);
export const ofTab = new Kept(() => sessionStorage);
