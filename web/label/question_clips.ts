// The clips of a question in panels over one stage, with the controls of the player
// below.
import type { Question, ShownClip } from "backflip/v1/label_pb";
import type { Answer } from "../common/answers";
import { button, h, setText } from "../common/dom";
import { keys, shared } from "../common/storage";
import { turnByDragging } from "../viewer/dragging";
import { Player } from "../viewer/player";
import type { Poses, SceneCache } from "../viewer/scene";
import { Stage } from "../viewer/stage";
import { keyButton } from "./key_button";
import { bindingFor, type Command, keySigns } from "./keymap";

const speeds = [0.25, 0.5, 0.75, 1, 1.5, 2];

const nothing: Poses = { bodies: 0, poses: [] };

export interface Shown {
  sceneHash: string;
  playbackFps: number;
  clips: ShownClip[];
}

export class QuestionClips {
  readonly element: HTMLElement;
  readonly controls: HTMLElement;
  readonly player = new Player();
  private readonly stage: Stage;
  private panels: HTMLElement[] = [];
  private readonly frame = h("div", { class: "panels" });
  private readonly overlay = h("div", { class: "overlay", hidden: true });
  private readonly playSign = h("span", { "aria-hidden": "true" });
  private readonly playButton: HTMLButtonElement;
  private readonly speed = h("span", { class: "speed", "aria-live": "off" });
  private readonly reset: HTMLButtonElement;

  constructor(private readonly scenes: SceneCache) {
    const { player } = this;
    this.element = h("div", { class: "stage" }, this.frame, this.overlay);
    this.stage = new Stage(this.element, player);
    const control = (label: string, sign: Node | string, command: Command, click: () => void) =>
      keyButton(
        command,
        {
          class: "control",
          "aria-label": label,
          title: `${label} (${keySigns(bindingFor(command))})`,
          click,
        },
        typeof sign === "string" ? h("span", { "aria-hidden": "true" }, sign) : sign,
      );
    this.playButton = control("Pause", this.playSign, { kind: "play" }, () => player.toggle());
    this.reset = button("Reset view", () => player.resetView(), {
      class: "control quiet",
      hidden: true,
    });
    this.controls = h(
      "div",
      { class: "controls", role: "group", "aria-label": "Playing" },
      control("One step back", "◂", { kind: "step", by: -1 }, () => player.move(-1)),
      this.playButton,
      control("One step forward", "▸", { kind: "step", by: 1 }, () => player.move(1)),
      h("span", { class: "gap" }),
      control("Slower", "−", { kind: "speed", by: -1 }, () => this.changeSpeed(-1)),
      this.speed,
      control("Faster", "+", { kind: "speed", by: 1 }, () => this.changeSpeed(1)),
      this.reset,
    );
    const kept = Number(shared.get(keys.speed));
    if (speeds.includes(kept)) player.speed = kept;
    player.addEventListener("change", () => this.update());
    turnByDragging(this.frame, player);
    this.update();
  }

  // Called when the clips that were shown last have been drawn for the first time.
  set onFirstPicture(act: () => void) {
    this.stage.onFirstPicture = act;
  }

  get covered(): boolean {
    return !this.overlay.hidden;
  }

  // Goes `by` speeds up or down; this browser keeps the speed.
  changeSpeed(by: number): void {
    const at = speeds.indexOf(this.player.speed) + by;
    this.player.speed = speeds[Math.min(speeds.length - 1, Math.max(0, at))]!;
    shared.set(keys.speed, String(this.player.speed));
    this.update();
  }

  private update(): void {
    const { playing, speed, turned } = this.player;
    this.playButton.setAttribute("aria-label", playing ? "Pause" : "Play");
    this.playButton.title = `${playing ? "Pause" : "Play"} (space)`;
    setText(this.playSign, playing ? "❚❚" : "▶");
    setText(this.speed, `${speed}×`);
    this.reset.hidden = !turned;
  }

  // Fetches and reads the scene, so that showing it later takes no time. False: that
  // has failed, and may be tried again.
  async prepare(question: Question): Promise<boolean> {
    return this.scenes.get(question.sceneHash).then(
      () => true,
      () => false,
    );
  }

  async show(shown: Shown): Promise<void> {
    const scene = await this.scenes.get(shown.sceneHash);
    this.makePanels(shown.clips.length);
    this.uncover();
    this.stage.show(
      scene,
      shown.clips.map(({ poses }) => poses ?? nothing),
      shown.playbackFps,
    );
  }

  // Shows no clips until others are shown; what covers them stays.
  clear(): void {
    this.stage.clear();
  }

  private makePanels(count: number): void {
    if (this.panels.length === count) return;
    this.panels = Array.from({ length: count }, (_, i) => {
      const name = count > 2 ? `Clip ${i + 1}` : i === 0 ? "Left clip" : "Right clip";
      return h(
        "div",
        { class: "panel", role: "img", "aria-label": `${name}, a moving picture` },
        h("span", { class: "badge", "aria-hidden": "true" }, String(i + 1)),
        h("span", { class: "mark", "aria-hidden": "true" }),
      );
    });
    this.frame.replaceChildren(...this.panels);
    this.element.dataset.clips = String(count);
    this.stage.setPanels(this.panels);
  }

  // Covers the clips with a message.
  cover(...content: Node[]): void {
    this.overlay.replaceChildren(...content);
    this.overlay.hidden = false;
  }

  uncover(): void {
    this.overlay.hidden = true;
  }

  // Marks the side that an answer prefers, or both where they are the same.
  markSides(answer: Answer | undefined, better: string, same: string): void {
    const choice = answer && "choice" in answer ? answer.choice : undefined;
    const tie = choice === "TIE" ? same : undefined;
    this.mark((["LEFT", "RIGHT"] as const).map((side) => (choice === side ? better : tie)));
  }

  // Which clips carry the person's mark, and what it says.
  mark(marks: readonly (string | undefined)[]): void {
    for (const [i, panel] of this.panels.entries()) {
      const text = marks[i];
      panel.classList.toggle("chosen", text !== undefined);
      setText(panel.querySelector(".mark")!, text ?? "");
    }
  }
}
