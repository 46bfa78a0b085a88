// Lists that keep their elements.

export interface Row<T> {
  element: HTMLElement;
  update(item: T): void;
  // The row has left the list.
  remove?(): void;
}

// Keeps one element for each key: what has the focus keeps it while lists move.
export class KeyedList<T> {
  private rows = new Map<string, Row<T>>();

  constructor(
    private parent: HTMLElement,
    private key: (item: T) => string,
    private make: (item: T) => Row<T>,
  ) {}

  set(items: readonly T[]): void {
    const focused = document.activeElement as HTMLElement | null;
    const gone = new Map(this.rows);
    let place: ChildNode | null = this.parent.firstChild;
    for (const item of items) {
      const key = this.key(item);
      let row = this.rows.get(key);
      if (!row) {
        row = this.make(item);
        this.rows.set(key, row);
      }
      gone.delete(key);
      row.update(item);
      if (row.element === place) place = place.nextSibling;
      else this.parent.insertBefore(row.element, place);
    }
    for (const [key, row] of gone) {
      row.element.remove();
      row.remove?.();
      this.rows.delete(key);
    }
    // an element that moves loses the focus
    if (focused !== document.activeElement && this.parent.contains(focused)) {
      focused?.focus({ preventScroll: true });
    }
  }
}
