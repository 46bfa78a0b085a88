// The clips of a question in panels over one stage, with the controls of the
// player below.
import type { Question, ShownClip } from "backflip/v1/label_pb";
import { h, setText } from "../common/dom";
import { Player, turnByDragging } from "../viewer/player";
import type { Clip, Scene, Scenes } from "../viewer/scene";
import { Stage } from "../viewer/stage";

function toClip(shown: ShownClip): Clip {
  return { steps: shown.steps, bodies: shown.poses?.bodies ?? 0, poses: shown.poses?.poses ?? [] };
}

export interface Shown {
  sceneHash: string;
  playbackFps: number;
  clips: ShownClip[];
}

export class QuestionClips {
  readonly element: HTMLElement;
  readonly controls: HTMLElement;
  readonly player: Player;
  readonly panels: HTMLElement[] = [];
  readonly overlay = h("div", { class: "overlay", hidden: true });
  private readonly stage: Stage;
  private readonly frame = h("div", { class: "panels" });
  private readonly playButton: HTMLButtonElement;
  private readonly speed = h("span", { class: "speed", "aria-live": "off" });
  private readonly reset: HTMLButtonElement;

  constructor(private readonly scenes: Scenes) {
    this.element = h("div", { class: "stage" }, this.frame, this.overlay);
    this.stage = new Stage(this.element);
    this.player = new Player(this.stage);
    const { player } = this;
    const control = (label: string, key: string, sign: string, act: () => void) =>
      h(
        "button",
        {
          type: "button",
          class: "control",
          "aria-label": label,
          "aria-keyshortcuts": key,
          title: `${label} (${key})`,
          click: act,
        },
        h("span", { "aria-hidden": "true" }, sign),
        h("kbd", { "aria-hidden": "true" }, key === "Space" ? "space" : key),
      );
    this.playButton = control("Pause", "Space", "❚❚", () => player.toggle());
    this.reset = h(
      "button",
      { type: "button", class: "control quiet", hidden: true, click: () => player.resetView() },
      "Reset view",
    );
    this.controls = h(
      "div",
      { class: "controls", role: "group", "aria-label": "Playing" },
      control("One step back", ",", "◂", () => player.move(-1)),
      this.playButton,
      control("One step on", ".", "▸", () => player.move(1)),
      h("span", { class: "gap" }),
      control("Slower", "[", "−", () => player.faster(-1)),
      this.speed,
      control("Faster", "]", "+", () => player.faster(1)),
      this.reset,
    );
    player.onChange = () => this.update();
    turnByDragging(this.frame, player);
    this.update();
  }

  get pictures(): number {
    return this.stage.pictures;
  }

  private update(): void {
    const { player } = this;
    const play = this.playButton;
    play.setAttribute("aria-label", player.playing ? "Pause" : "Play");
    play.title = `${player.playing ? "Pause" : "Play"} (space)`;
    setText(play.firstElementChild!, player.playing ? "❚❚" : "▶");
    setText(this.speed, `${player.speed}×`);
    this.reset.hidden = !player.turned;
  }

  // Fetches and reads the scene, so that showing it later takes no time.
  prepare(question: Question): Promise<unknown> {
    return this.scenes.get(question.sceneHash);
  }

  async show(shown: Shown): Promise<void> {
    const scene = await this.scenes.get(shown.sceneHash);
    this.display(scene, shown);
  }

  private display(scene: Scene, shown: Shown): void {
    const count = shown.clips.length;
    if (this.panels.length !== count) {
      this.panels.length = 0;
      for (let i = 0; i < count; ++i) {
        const name = count > 2 ? `Clip ${i + 1}` : i === 0 ? "Left clip" : "Right clip";
        this.panels.push(
          h(
            "div",
            { class: "panel", role: "img", "aria-label": `${name}, a moving picture` },
            h("span", { class: "badge", "aria-hidden": "true" }, String(i + 1)),
            h("span", { class: "mark", "aria-hidden": "true" }),
          ),
        );
      }
      this.frame.replaceChildren(...this.panels);
      this.element.dataset["clips"] = String(count);
      this.stage.setPanels(this.panels);
    }
    this.overlay.hidden = true;
    this.player.load(scene, shown.clips.map(toClip), shown.playbackFps);
  }

  // Covers the clips with a message.
  cover(...content: Node[]): void {
    this.overlay.replaceChildren(...content);
    this.overlay.hidden = false;
  }

  // Which clips carry the person's mark, and what it says.
  mark(marks: (string | undefined)[]): void {
    this.panels.forEach((panel, i) => {
      const text = marks[i];
      panel.classList.toggle("chosen", text !== undefined);
      setText(panel.querySelector(".mark")!, text ?? "");
    });
  }
}
