// What tests of the pages' logic need of a browser, in Node.js.
import { setMaxListeners } from "node:events";

class MemoryStorage {
  private readonly items = new Map<string, string>();

  get length(): number {
    return this.items.size;
  }

  key(at: number): string | null {
    return [...this.items.keys()][at] ?? null;
  }

  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }

  removeItem(key: string): void {
    this.items.delete(key);
  }

  clear(): void {
    this.items.clear();
  }
}

const page = new EventTarget();
setMaxListeners(0, page); // each test makes parts of the page of its own

Object.assign(globalThis, {
  navigator: { cookieEnabled: true },
  localStorage: new MemoryStorage(),
  sessionStorage: new MemoryStorage(),
  location: { origin: "http://localhost", hash: "" },
  innerWidth: 1280,
  document: { visibilityState: "visible", hasFocus: () => true, addEventListener: () => {} },
  addEventListener: page.addEventListener.bind(page),
  removeEventListener: page.removeEventListener.bind(page),
});

// Lets everything happen that waits for nothing but promises.
export async function settle(): Promise<void> {
  for (let i = 0; i < 50; ++i) await Promise.resolve();
}
