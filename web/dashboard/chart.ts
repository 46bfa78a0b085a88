// One line over steps or labels, with a band around it, drawn with uPlot. Its
// numbers are also in the page as a sentence and as a table, for people
// who do not see the picture.
import uPlot from "uplot";
import { h, setText } from "../common/dom";
import { number, plural, short } from "./formats";

export interface ChartOptions {
  title: string;
  // What the curve means, in a sentence.
  note?: string;
  // Shown where there is nothing to draw yet.
  empty: string;
  // CSS variable of the line's colour.
  color: string;
  // What the heads of the table call the two edges of the band.
  bandNames?: [string, string];
  format?: (value: number) => string;
  // Fixed range of y; else it fits.
  range?: [number, number];
  // A line that means something, such as "as good as before" at one half.
  reference?: { value: number; label: string };
  // Charts of one name move their cursors together.
  sync?: string;
  height?: number;
  // Draws at and seeks to a position (the episode player).
  onSeek?: (x: number) => void;
  // Points are drawn on the line.
  points?: boolean;
}

export interface ChartData {
  // Not falling.
  x: number[];
  y: (number | null)[];
  low?: (number | null)[];
  high?: (number | null)[];
  // "labels", "steps", "iteration": written under the axis and in the texts.
  xName: string;
}

const charts = new Set<Chart>();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const chart of charts) chart.redraw();
});

function cssColor(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// A little more than the values take; a constant lies in its middle.
function fitRange(low: number, high: number): [number, number] {
  const margin = high > low ? 0.06 * (high - low) : Math.abs(high) / 2 || 1;
  return [low - margin, high + margin];
}

export class Chart {
  readonly element: HTMLElement;
  private readonly plotBox: HTMLElement;
  private readonly readout: HTMLElement;
  private readonly emptyNote: HTMLElement;
  private readonly details: HTMLDetailsElement;
  private readonly table: HTMLElement;
  private plot?: uPlot;
  private data?: ChartData;
  private drawn = "";
  private marker?: number;
  private readonly format: (value: number) => string;

  constructor(private readonly options: ChartOptions) {
    this.format = options.format ?? number;
    this.readout = h("output", { class: "chart-value" });
    this.plotBox = h("div", { class: "plot", role: "img" });
    this.plotBox.style.height = `${this.height()}px`;
    this.emptyNote = h("p", { class: "empty" }, options.empty);
    this.table = h("div", {
      class: "scroll small",
      tabindex: 0,
      role: "region",
      "aria-label": `${options.title}: numbers`,
    });
    this.details = h("details", { class: "numbers" }, h("summary", {}, "Numbers"), this.table);
    this.details.addEventListener("toggle", () => this.fillTable());
    this.element = h(
      "figure",
      { class: "chart" },
      h(
        "figcaption",
        {},
        h("span", { class: "chart-title" }, options.title),
        this.readout,
        options.note ? h("small", {}, options.note) : null,
      ),
      this.plotBox,
      this.emptyNote,
      this.details,
    );
    charts.add(this);
    new ResizeObserver(() => this.fit()).observe(this.plotBox);
    this.show();
  }

  set(data: ChartData | undefined): void {
    const key = JSON.stringify(data ?? null);
    if (key === this.drawn) return;
    this.drawn = key;
    const rebuild =
      !this.plot || data?.xName !== this.data?.xName || !data?.low !== !this.data?.low;
    this.data = data && data.x.length > 0 ? data : undefined;
    this.show();
    if (!this.data) return;
    if (rebuild) this.redraw();
    else this.plot!.setData(this.columns());
    this.fillTable();
  }

  // A vertical line at a position, such as the moment that is played.
  setMarker(x: number | undefined): void {
    if (this.marker === x) return;
    this.marker = x;
    this.showValue(this.plot?.cursor.idx);
    this.plot?.redraw(false);
  }

  redraw(): void {
    this.plot?.destroy();
    this.plot = undefined;
    const width = this.plotBox.clientWidth;
    if (!this.data || width === 0) return;
    this.plot = new uPlot(this.plotOptions(width), this.columns(), this.plotBox);
  }

  remove(): void {
    this.plot?.destroy();
    charts.delete(this);
    this.element.remove();
  }

  private height(): number {
    return this.options.height ?? 190;
  }

  private show(): void {
    const data = this.data;
    this.plotBox.hidden = this.details.hidden = !data;
    this.emptyNote.hidden = !!data;
    this.showValue(null);
    if (!data) return;
    const values = data.y.filter((value): value is number => value !== null);
    const last = values[values.length - 1];
    this.plotBox.setAttribute(
      "aria-label",
      last === undefined
        ? `${this.options.title}: no value yet`
        : `${this.options.title}: ${plural(values.length, "point")} over ${data.xName}, ` +
            `from ${this.format(values[0]!)} to ${this.format(last)}; ` +
            `lowest ${this.format(values.reduce((a, b) => Math.min(a, b)))}, ` +
            `highest ${this.format(values.reduce((a, b) => Math.max(a, b)))}`,
    );
  }

  // The value under the cursor, else at the marker, else the newest.
  private showValue(index: number | null | undefined): void {
    const data = this.data;
    if (!data) {
      setText(this.readout, "");
      return;
    }
    const last = data.y.length - 1;
    const marked =
      this.marker === undefined ? undefined : data.x.findIndex((x) => x >= this.marker!);
    const chosen = index ?? (marked === undefined || marked < 0 ? undefined : marked);
    let at = chosen ?? last;
    while (at > 0 && data.y[at] === null) --at;
    const value = data.y[at];
    if (value === null || value === undefined) {
      setText(this.readout, "");
      return;
    }
    const place =
      data.xName === "step" ? `step ${data.x[at]}` : `${short(data.x[at]!)} ${data.xName}`;
    const position = chosen === undefined ? "" : ` at ${place}`;
    setText(this.readout, `${this.format(value)}${position}`);
  }

  private columns(): uPlot.AlignedData {
    const { x, y, low, high } = this.data!;
    return (low && high ? [x, y, high, low] : [x, y]) as uPlot.AlignedData;
  }

  private plotOptions(width: number): uPlot.Options {
    const line = cssColor(this.options.color);
    const ink = cssColor("--ink-soft");
    const grid = { stroke: cssColor("--line"), width: 1 };
    const font = "12px system-ui, sans-serif";
    const banded = !!this.data!.low;
    const points = this.options.points || this.data!.x.length < 40;
    return {
      width,
      height: this.height(),
      legend: { show: false },
      padding: [10, 12, 0, 0],
      scales: {
        x: { time: false },
        y: { range: this.options.range ?? ((_plot, low, high) => fitRange(low, high)) },
      },
      cursor: {
        drag: { x: false, y: false },
        points: { size: 7 },
        ...(this.options.sync ? { sync: { key: this.options.sync } } : {}),
      },
      axes: [
        {
          stroke: ink,
          grid,
          ticks: grid,
          font,
          labelFont: font,
          label: this.data!.xName,
          labelSize: 18,
          size: 28,
          values: (_plot, splits) => splits.map((split) => short(split)),
        },
        {
          stroke: ink,
          grid,
          ticks: grid,
          font,
          size: 52,
          values: (_plot, splits) => splits.map((split) => this.format(split)),
        },
      ],
      series: [
        {},
        {
          stroke: line,
          width: 2,
          spanGaps: true,
          points: { show: points, size: 5, fill: line, stroke: line },
        },
        ...(banded
          ? [0, 1].map(() => ({
              stroke: "transparent",
              width: 0,
              spanGaps: true,
              points: { show: false },
            }))
          : []),
      ],
      ...(banded ? { bands: [{ series: [2, 3] as [number, number], fill: `${line}38` }] } : {}),
      hooks: {
        setCursor: [(plot) => this.showValue(plot.cursor.idx)],
        draw: [(plot) => this.drawLines(plot)],
        ready: this.options.onSeek ? [(plot) => this.seekWithPointer(plot)] : [],
      },
    };
  }

  private drawLines(plot: uPlot): void {
    const { ctx, bbox } = plot;
    ctx.save();
    const reference = this.options.reference;
    if (reference) {
      const y = Math.round(plot.valToPos(reference.value, "y", true));
      ctx.strokeStyle = ctx.fillStyle = cssColor("--ink-soft");
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "left";
      ctx.textBaseline = "bottom";
      ctx.fillText(reference.label, bbox.left + 6 * devicePixelRatio, y - 2 * devicePixelRatio);
    }
    const { x: at, low, high } = this.data!;
    if (this.options.points && low && high) {
      // intervals of single points, where a band has no width
      ctx.setLineDash([]);
      ctx.strokeStyle = cssColor(this.options.color);
      ctx.lineWidth = devicePixelRatio;
      at.forEach((position, i) => {
        const x = Math.round(plot.valToPos(position, "x", true));
        ctx.beginPath();
        for (const end of [low[i], high[i]]) {
          const y = Math.round(plot.valToPos(end ?? NaN, "y", true));
          ctx.moveTo(x - 4 * devicePixelRatio, y);
          ctx.lineTo(x + 4 * devicePixelRatio, y);
        }
        ctx.moveTo(x, plot.valToPos(low[i] ?? NaN, "y", true));
        ctx.lineTo(x, plot.valToPos(high[i] ?? NaN, "y", true));
        ctx.stroke();
      });
    }
    if (this.marker !== undefined) {
      const x = Math.round(plot.valToPos(this.marker, "x", true));
      ctx.setLineDash([]);
      ctx.strokeStyle = cssColor("--accent");
      ctx.lineWidth = 2 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  private seekWithPointer(plot: uPlot): void {
    const seek = (event: PointerEvent) => {
      const box = plot.over.getBoundingClientRect();
      this.options.onSeek!(plot.posToVal(event.clientX - box.left, "x"));
    };
    plot.over.classList.add("seekable");
    plot.over.addEventListener("pointerdown", (event) => {
      plot.over.setPointerCapture(event.pointerId);
      seek(event);
    });
    plot.over.addEventListener("pointermove", (event) => {
      if (plot.over.hasPointerCapture(event.pointerId)) seek(event);
    });
  }

  private fit(): void {
    const width = this.plotBox.clientWidth;
    if (width === 0) return;
    if (!this.plot) this.redraw();
    else if (this.plot.width !== width) this.plot.setSize({ width, height: this.height() });
  }

  private fillTable(): void {
    if (!this.details.open || !this.data) return;
    const { x, y, low, high, xName } = this.data;
    const [lowName, highName] = this.options.bandNames ?? ["low", "high"];
    const head = [xName, this.options.title, ...(low && high ? [lowName, highName] : [])];
    const cell = (value: number | null | undefined) =>
      h("td", {}, value === null || value === undefined ? "–" : this.format(value));
    const rows = x.map((position, i) =>
      h(
        "tr",
        {},
        h("td", {}, String(position)),
        cell(y[i]),
        ...(low && high ? [cell(low[i]), cell(high[i])] : []),
      ),
    );
    this.table.replaceChildren(
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, ...head.map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, ...rows.reverse().slice(0, 500)),
      ),
    );
  }
}
