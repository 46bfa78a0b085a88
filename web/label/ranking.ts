// Several clips put in order: by dragging their chips, or by keys. Clips in one
// place are equally good.
import { h, setText } from "../common/dom";

export interface RankingEvents {
  changed(): void;
  announce(text: string): void;
}

export function ordinal(n: number): string {
  return n === 1
    ? "best"
    : `${n}${["th", "st", "nd", "rd"][n % 100 >= 11 && n % 100 <= 13 ? 0 : n % 10] ?? "th"}`;
}

export class Ranking {
  readonly element: HTMLElement;
  // Positions, best first; those in one group are equal.
  groups: number[][] = [];
  private readonly places = h("ol", { class: "places", "aria-label": "Your order, best first" });
  private readonly pool = h("div", { class: "pool" });
  private readonly chips: HTMLButtonElement[] = [];
  private readonly order: number[] = []; // as placed, for taking back
  private dragged = -Infinity;
  private drag?: { position: number; chip: HTMLElement; moved: boolean; x: number; y: number };

  constructor(
    readonly count: number,
    private readonly events: RankingEvents,
  ) {
    for (let i = 0; i < count; ++i) this.chips.push(this.makeChip(i));
    this.element = h(
      "div",
      { class: "ranking" },
      h("span", { class: "end", "aria-hidden": "true" }, "Best"),
      this.places,
      h("span", { class: "end", "aria-hidden": "true" }, "Worst"),
      this.pool,
    );
    this.render();
  }

  get complete(): boolean {
    return this.groups.flat().length === this.count;
  }

  rankOf(position: number): number {
    let rank = 1;
    for (const group of this.groups) {
      if (group.includes(position)) return rank;
      rank += group.length;
    }
    return 0;
  }

  // The next place for a clip; of one that has a place: out again.
  place(position: number): void {
    if (position >= this.count) return;
    const had = this.rankOf(position) > 0;
    this.take(position);
    if (!had) {
      this.groups.push([position]);
      this.order.push(position);
      this.events.announce(`Clip ${position + 1} is ${ordinal(this.rankOf(position))}.`);
    } else {
      this.events.announce(`Clip ${position + 1} has no place.`);
    }
    this.render();
  }

  // The last two places become one.
  tie(): void {
    if (this.groups.length < 2) return;
    const last = this.groups.pop()!;
    const group = this.groups[this.groups.length - 1]!;
    group.push(...last);
    this.events.announce(`Clips ${group.map((p) => p + 1).join(" and ")} are equally good.`);
    this.render();
  }

  back(): boolean {
    const position = this.order.at(-1);
    if (position === undefined) return false;
    this.take(position);
    this.events.announce(`Clip ${position + 1} has no place.`);
    this.render();
    return true;
  }

  // Of the clip whose chip has the focus.
  shift(position: number, by: number, tie: boolean): void {
    const at = this.groups.findIndex((group) => group.includes(position));
    if (at < 0) return this.place(position);
    const alone = this.groups[at]!.length === 1;
    this.remove(position);
    let target = at + by;
    if (tie) {
      const group =
        this.groups[Math.max(0, Math.min(this.groups.length - 1, alone && by > 0 ? at : target))];
      if (group) group.push(position);
      else this.groups.push([position]);
    } else {
      if (!alone && by > 0) target = at + 1;
      if (!alone && by < 0) target = at;
      this.groups.splice(Math.max(0, Math.min(this.groups.length, target)), 0, [position]);
    }
    this.events.announce(`Clip ${position + 1} is ${ordinal(this.rankOf(position))}.`);
    this.render();
    this.chips[position]!.focus();
  }

  private remove(position: number): void {
    // in place: who moves a clip holds on to the group that it moves to
    for (const group of this.groups) {
      const at = group.indexOf(position);
      if (at >= 0) group.splice(at, 1);
    }
    this.groups = this.groups.filter((group) => group.length > 0);
  }

  private take(position: number): void {
    this.remove(position);
    const at = this.order.indexOf(position);
    if (at >= 0) this.order.splice(at, 1);
  }

  private makeChip(position: number): HTMLButtonElement {
    const chip = h(
      "button",
      { type: "button", class: "chip" },
      h("b", {}, String(position + 1)),
      h("span", { class: "rank" }),
    );
    chip.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      chip.setPointerCapture(event.pointerId);
      this.drag = { position, chip, moved: false, x: event.clientX, y: event.clientY };
    });
    chip.addEventListener("pointermove", (event) => {
      const drag = this.drag;
      if (!drag || drag.chip !== chip) return;
      const dx = event.clientX - drag.x;
      const dy = event.clientY - drag.y;
      if (!drag.moved && Math.hypot(dx, dy) < 6) return;
      drag.moved = true;
      chip.classList.add("dragged");
      chip.style.translate = `${dx}px ${dy}px`;
      this.mark(event.clientX, event.clientY);
    });
    const end = (event: PointerEvent) => {
      const drag = this.drag;
      this.drag = undefined;
      chip.classList.remove("dragged");
      chip.style.translate = "";
      if (!drag?.moved) return;
      event.preventDefault();
      chip.blur(); // the keys are for the clips again
      this.dragged = performance.now();
      if (event.type === "pointerup") this.drop(position, event.clientX, event.clientY);
      else this.render();
    };
    chip.addEventListener("pointerup", end);
    chip.addEventListener("pointercancel", end);
    chip.addEventListener("click", () => {
      // the click that ends a drag
      if (performance.now() - this.dragged > 100) this.place(position);
    });
    chip.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      this.shift(position, by, event.shiftKey);
    });
    return chip;
  }

  // The group or gap under a point: even numbers are gaps.
  private target(x: number, y: number): number | undefined {
    const box = this.element.getBoundingClientRect();
    if (y < box.top - 40 || y > box.bottom + 40) return undefined;
    const pool = this.pool.getBoundingClientRect();
    if (pool.width > 0 && x >= pool.left && x <= pool.right && y >= pool.top) return undefined;
    const groups = [...this.places.querySelectorAll<HTMLElement>(".group")];
    for (const [i, group] of groups.entries()) {
      const rect = group.getBoundingClientRect();
      const edge = Math.min(18, rect.width / 4);
      if (x < rect.left + edge) return 2 * i;
      if (x <= rect.right - edge) return 2 * i + 1;
    }
    return 2 * groups.length;
  }

  private mark(x: number, y: number): void {
    const target = this.target(x, y);
    this.places.querySelectorAll(".group").forEach((group, i) => {
      group.classList.toggle("onto", target === 2 * i + 1);
      group.classList.toggle("before", target === 2 * i);
    });
    this.places.classList.toggle("last", target === 2 * this.groups.length);
  }

  private drop(position: number, x: number, y: number): void {
    const target = this.target(x, y);
    const group =
      target === undefined || target % 2 === 0 ? undefined : this.groups[(target - 1) / 2];
    const before = target === undefined || target % 2 === 1 ? undefined : this.groups[target / 2];
    const placed = this.order.includes(position);
    if (group?.includes(position)) return this.render();
    const next =
      before?.includes(position) && before.length === 1
        ? this.groups[this.groups.indexOf(before) + 1]
        : before;
    this.remove(position);
    if (target === undefined) this.take(position);
    else if (group) group.push(position);
    else {
      const at = next ? this.groups.indexOf(next) : this.groups.length;
      this.groups.splice(at < 0 ? this.groups.length : at, 0, [position]);
    }
    if (target !== undefined && !placed) this.order.push(position);
    const rank = this.rankOf(position);
    this.events.announce(
      rank ? `Clip ${position + 1} is ${ordinal(rank)}.` : `Clip ${position + 1} has no place.`,
    );
    this.render();
  }

  private render(): void {
    const focused = document.activeElement;
    this.places.classList.remove("last");
    this.places.replaceChildren(
      ...this.groups.map((group) =>
        h("li", { class: "group" }, ...group.map((position) => this.chips[position]!)),
      ),
      ...(this.groups.length === 0
        ? [h("li", { class: "nothing" }, "Press the numbers, best first, or drag them here")]
        : []),
    );
    const free = this.chips.filter((_, position) => this.rankOf(position) === 0);
    this.pool.hidden = free.length === 0;
    this.pool.replaceChildren(...free);
    this.chips.forEach((chip, position) => {
      const rank = this.rankOf(position);
      const group = this.groups.find((members) => members.includes(position)) ?? [];
      const text = rank ? `${ordinal(rank)}${group.length > 1 ? " =" : ""}` : "";
      setText(chip.querySelector(".rank")!, text);
      chip.setAttribute(
        "aria-label",
        rank
          ? `Clip ${position + 1}: ${ordinal(rank)}${group.length > 1 ? ", equal with others" : ""}. Arrow keys move it, with shift they make it equal.`
          : `Clip ${position + 1}: give it the next place`,
      );
    });
    if (focused instanceof HTMLElement && this.element.contains(focused)) focused.focus();
    this.events.changed();
  }
}
