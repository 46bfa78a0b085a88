// Clips are put in order here: by dragging their chips, or by keys.
import { h, setText } from "../common/dom";
import { keyButton } from "./key_button";
import { ordinal, Ranking } from "./ranking";

export interface RankingEvents {
  changed(): void;
  announce(text: string): void;
  send(): void;
}

export class RankingView {
  // The order, and the buttons beside it.
  readonly elements: HTMLElement[];
  readonly ranking: Ranking;
  private readonly send: HTMLButtonElement;
  private readonly box: HTMLElement;
  private readonly places = h("ol", { class: "places", "aria-label": "Your order, best first" });
  private readonly pool = h("div", { class: "pool" });
  private readonly chips: HTMLButtonElement[] = [];
  private dragged = -Infinity;
  private drag?: { chip: HTMLElement; moved: boolean; x: number; y: number };

  constructor(
    count: number,
    private readonly events: RankingEvents,
  ) {
    this.ranking = new Ranking(count);
    for (let i = 0; i < count; ++i) this.chips.push(this.makeChip(i));
    this.box = h(
      "div",
      { class: "ranking" },
      h("span", { class: "end", "aria-hidden": "true" }, "Best"),
      this.places,
      h("span", { class: "end", "aria-hidden": "true" }, "Worst"),
      this.pool,
    );
    this.send = keyButton(
      { kind: "enter" },
      { class: "primary", click: () => events.send() },
      "Send this order ",
    );
    const tie = keyButton({ kind: "tie" }, { click: () => this.tie() }, "Last two equal ");
    this.elements = [this.box, h("div", { class: "ranking-buttons" }, tie, this.send)];
    this.render();
  }

  // What clips show of their places.
  get marks(): (string | undefined)[] {
    return this.chips.map((_, position) => {
      const rank = this.ranking.rankOf(position);
      return rank ? ordinal(rank) : undefined;
    });
  }

  update(open: boolean, marked: boolean): void {
    this.send.disabled = !this.ranking.complete || !open;
    this.send.classList.toggle("marked", marked);
  }

  place(position: number): void {
    if (position >= this.ranking.count) return;
    this.ranking.place(position);
    this.show(position);
  }

  tie(): void {
    const group = this.ranking.tie();
    if (!group) return;
    this.events.announce(`Clips ${group.map((p) => p + 1).join(" and ")} are equally good.`);
    this.render();
    this.events.changed();
  }

  // False: no clip has a place.
  back(): boolean {
    const position = this.ranking.back();
    if (position !== undefined) this.show(position);
    return position !== undefined;
  }

  private show(position: number): void {
    this.events.announce(this.ranking.describe(position));
    this.render();
    this.events.changed();
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
      this.drag = { chip, moved: false, x: event.clientX, y: event.clientY };
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
      if (event.type === "pointerup") {
        this.ranking.drop(position, this.target(event.clientX, event.clientY));
        this.show(position);
      } else this.render();
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
      this.ranking.shift(position, by, event.shiftKey);
      this.show(position);
      chip.focus();
    });
    return chip;
  }

  // The place under a point, as Ranking.drop takes it.
  private target(x: number, y: number): number | undefined {
    const box = this.box.getBoundingClientRect();
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
    for (const [i, group] of this.places.querySelectorAll(".group").entries()) {
      group.classList.toggle("onto", target === 2 * i + 1);
      group.classList.toggle("before", target === 2 * i);
    }
    this.places.classList.toggle("last", target === 2 * this.ranking.groups.length);
  }

  private render(): void {
    const focused = document.activeElement;
    const { groups } = this.ranking;
    this.places.classList.remove("last");
    this.places.replaceChildren(
      ...groups.map((group) =>
        h("li", { class: "group" }, ...group.map((position) => this.chips[position]!)),
      ),
      ...(groups.length === 0
        ? [h("li", { class: "nothing" }, "Press the numbers, best first, or drag them here")]
        : []),
    );
    const free = this.chips.filter((_, position) => this.ranking.rankOf(position) === 0);
    this.pool.hidden = free.length === 0;
    this.pool.replaceChildren(...free);
    for (const [position, chip] of this.chips.entries()) {
      const rank = this.ranking.rankOf(position);
      const tied = groups.some((group) => group.length > 1 && group.includes(position));
      setText(chip.querySelector(".rank")!, rank ? `${ordinal(rank)}${tied ? " =" : ""}` : "");
      chip.setAttribute(
        "aria-label",
        rank
          ? `Clip ${position + 1}: ${ordinal(rank)}${tied ? ", equal with others" : ""}. Arrow keys move it, with shift they make it equal.`
          : `Clip ${position + 1}: give it the next place`,
      );
    }
    if (focused instanceof HTMLElement && this.box.contains(focused)) focused.focus();
  }
}
