// Elements. Text goes into the page through text nodes alone.
export type Child = Node | string | number | null | undefined | false;

type Listeners = { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };

// Attributes by their names, and listeners by the names of their events. False and
// undefined: none.
export interface Attributes extends Listeners {
  [name: string]: string | number | boolean | undefined | ((event: never) => void);
}

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function")
      element.addEventListener(name, value as (event: Event) => void);
    else if (value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== false)
      element.append(String(child));
  }
  return element;
}

// A button that submits nothing.
export function button(
  text: Child,
  click: () => void,
  attributes: Attributes = {},
): HTMLButtonElement {
  return h("button", { type: "button", click, ...attributes }, text);
}

// Names and what they stand for.
export function factList(facts: readonly (readonly [string, string])[]): HTMLElement {
  return h(
    "dl",
    { class: "facts" },
    ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", { class: "words" }, value)]),
  );
}

// Writes only what differs, so that a screen reader says nothing twice and a
// selection stays.
export function setText(element: Element, text: string | number): void {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

// A blank line parts paragraphs.
export function paragraphs(text: string): HTMLElement[] {
  return text
    .split(/\n\s*\n/)
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => h("p", { class: "words" }, part));
}

// 128 random bits: new for each call that may be sent twice. (crypto.randomUUID exists on encrypted pages alone.)
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
