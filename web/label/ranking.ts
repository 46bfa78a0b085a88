// Several clips put in order. Clips in one place are equally good.

// 1 is "best", 2 is "2nd".
export function ordinal(n: number): string {
  return n === 1
    ? "best"
    : `${n}${["th", "st", "nd", "rd"][n % 100 >= 11 && n % 100 <= 13 ? 0 : n % 10] ?? "th"}`;
}

export class Ranking {
  // Positions of clips, best first; those in one group are equal.
  groups: number[][] = [];
  // As they got their places, for taking them back.
  private readonly order: number[] = [];

  constructor(readonly count: number) {}

  get complete(): boolean {
    return this.groups.flat().length === this.count;
  }

  // From 1; 0: no place.
  rankOf(position: number): number {
    let rank = 1;
    for (const group of this.groups) {
      if (group.includes(position)) return rank;
      rank += group.length;
    }
    return 0;
  }

  // What a screen reader says of a clip that was moved.
  describe(position: number): string {
    const rank = this.rankOf(position);
    return `Clip ${position + 1} ${rank ? `is ${ordinal(rank)}` : "has no place"}.`;
  }

  // Gives a clip the next place; takes it from one that has a place.
  place(position: number): void {
    if (position >= this.count) return;
    const had = this.rankOf(position) > 0;
    this.take(position);
    if (had) return;
    this.groups.push([position]);
    this.order.push(position);
  }

  // Makes the last two places one; the clips in it.
  tie(): number[] | undefined {
    const group = this.groups.at(-2);
    if (!group) return undefined;
    group.push(...this.groups.pop()!);
    return group;
  }

  // Takes the place of the clip that got one last; that clip.
  back(): number | undefined {
    const position = this.order.at(-1);
    if (position !== undefined) this.take(position);
    return position;
  }

  // Moves a clip to the place before or after (`by` -1 or 1). `tie`: into it.
  shift(position: number, by: number, tie: boolean): void {
    const at = this.groups.findIndex((group) => group.includes(position));
    if (at < 0) {
      this.place(position);
      return;
    }
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
  }

  // Moves a clip before group g (`target` 2g), into it (2g + 1), or out (undefined).
  drop(position: number, target: number | undefined): void {
    const into =
      target === undefined || target % 2 === 0 ? undefined : this.groups[(target - 1) / 2];
    const before = target === undefined || target % 2 === 1 ? undefined : this.groups[target / 2];
    const placed = this.order.includes(position);
    if (into?.includes(position)) return;
    const next =
      before?.includes(position) && before.length === 1
        ? this.groups[this.groups.indexOf(before) + 1]
        : before;
    this.remove(position);
    if (target === undefined) this.take(position);
    else if (into) into.push(position);
    else {
      const at = next ? this.groups.indexOf(next) : this.groups.length;
      this.groups.splice(at < 0 ? this.groups.length : at, 0, [position]);
    }
    if (target !== undefined && !placed) this.order.push(position);
  }

  private remove(position: number): void {
    // in place: a caller that moves a clip holds on to the group it moves to
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
}
