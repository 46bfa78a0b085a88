// A recorded episode over the curve of its predicted reward.
import { Chart } from "../chart";
import { say } from "../dialog";
import { sentence } from "../../common/api";
import { h, setText } from "../../common/dom";
import type { Stage } from "./gold";
import type { Episode as Recording } from "../model";
import { playButton, Player } from "../player";

const noRecording =
  "No episode recorded yet: the first comes with the first evaluation of the policy.";

export class Episode {
  readonly element: HTMLElement;
  private stage?: Stage;
  private recording?: Recording;
  private player?: Player;
  private asked = 0;
  private readonly version = h("select", {
    "aria-label": "Recorded version of the policy",
    change: () => void this.load(Number(this.version.value)),
  });
  private readonly picture = h("div", { class: "episode-picture" });
  private readonly empty = h("p", { class: "empty", role: "status" }, noRecording);
  private readonly slider = h("input", {
    type: "range",
    value: "0",
    min: 0,
    step: 1,
    "aria-label": "Moment of the episode",
    input: () => this.player?.seek(Number(this.slider.value)),
  });
  private readonly moment = h("output", { class: "quiet" });
  private readonly buttons = h("div", { class: "episode-buttons" });
  private readonly speed = h(
    "select",
    {
      "aria-label": "Speed",
      change: () => {
        if (this.player) this.player.speed = Number(this.speed.value);
      },
    },
    ...["0.25", "0.5", "1", "2", "4"].map((value) => h("option", { value }, `${value}×`)),
  );
  private readonly askButton = h(
    "button",
    { type: "button", class: "primary", click: () => void this.askAbout() },
    "Ask about this moment",
  );
  private readonly chart = new Chart({
    title: "Predicted reward, step by step",
    note: "Mean of the ensemble’s members, their deviation shaded: where it is wide they do not know. Click to go there.",
    empty: "No ensemble has been trained yet, so there is nothing to predict with.",
    color: "--series-2",
    bandNames: ["mean − deviation", "mean + deviation"],
    onSeek: (step) => this.player?.seek(Math.round(step)),
    height: 300,
  });
  private readonly content: HTMLElement;

  constructor() {
    this.speed.value = "1";
    this.content = h(
      "div",
      { class: "episode" },
      h(
        "div",
        {},
        this.picture,
        h("div", { class: "scrub" }, this.slider, this.moment),
        this.buttons,
      ),
      this.chart.element,
    );
    this.element = h(
      "section",
      { id: "episode", "aria-labelledby": "episode-title" },
      h(
        "div",
        { class: "section-head" },
        h("h2", { id: "episode-title" }, "An evaluation episode"),
        h("div", { class: "section-buttons" }, h("label", {}, "Version ", this.version)),
      ),
      this.empty,
      this.content,
    );
    this.show();
  }

  // The newest recording is followed, unless the reader chose another one or
  // has stopped this one at a moment. `recorded`: there is one. True: shown.
  async update(stage: Stage, recorded: boolean): Promise<boolean> {
    if (stage.runId !== this.stage?.runId) {
      ++this.asked;
      this.recording = undefined;
      this.show();
    }
    this.stage = stage;
    return recorded && this.load(this.following() ? 0 : this.recording!.policyVersion);
  }

  private following(): boolean {
    const { recording, player } = this;
    if (!recording || !player) return true;
    const newest = recording.policyVersion === Math.max(...recording.recordedVersions);
    return newest && (player.playing || player.moment === 0);
  }

  private async load(version: number): Promise<boolean> {
    const stage = this.stage;
    if (!stage) return false;
    const asked = ++this.asked;
    let recording: Recording | undefined;
    try {
      recording = await stage.client.episode(stage.runId, version);
    } catch (failure) {
      if (asked === this.asked) {
        if (this.recording) say(sentence(failure));
        else setText(this.empty, sentence(failure));
      }
      return false;
    }
    if (asked !== this.asked) return false;
    const same = this.recording?.policyVersion === recording.policyVersion;
    this.recording = recording;
    if (!same) this.stageRecording(stage, recording);
    this.drawVersions(recording);
    this.drawCurve(recording);
    this.show();
    return true;
  }

  private show(): void {
    const here = !!this.recording;
    if (!here) setText(this.empty, noRecording);
    this.empty.hidden = here;
    this.content.hidden = !here;
    this.version.parentElement!.hidden = !here;
  }

  private stageRecording(stage: Stage, recording: Recording): void {
    const playing = this.player ? this.player.playing : stage.theatre.motion;
    this.player?.close();
    const player = new Player(stage.theatre, recording.playbackFps || stage.scene.fps);
    this.player = player;
    player.speed = Number(this.speed.value);
    player.playing = playing;
    player.onMove = () => this.moved();
    const view = player.view(
      `Episode of policy version ${recording.policyVersion}, moving picture`,
    );
    view.set(recording.sceneHash || stage.scene.hash, recording.poses);
    this.slider.max = String(recording.steps);
    this.picture.replaceChildren(view.element);
    this.buttons.replaceChildren(
      playButton(player, "the episode"),
      h("label", {}, "Speed ", this.speed),
      this.askButton,
    );
    this.moved();
  }

  private moved(): void {
    const moment = this.player!.moment;
    this.slider.value = String(moment);
    this.slider.setAttribute("aria-valuetext", `step ${moment} of ${this.recording!.steps}`);
    setText(this.moment, `step ${moment} of ${this.recording!.steps}`);
    this.chart.setMarker(moment);
  }

  private drawVersions(recording: Recording): void {
    const versions = [...recording.recordedVersions].sort((a, b) => b - a);
    const wanted = versions.map(String).join();
    if ([...this.version.options].map((option) => option.value).join() !== wanted) {
      this.version.replaceChildren(
        ...versions.map((version, i) =>
          h(
            "option",
            { value: String(version) },
            i === 0 ? `${version} (newest)` : String(version),
          ),
        ),
      );
    }
    this.version.value = String(recording.policyVersion);
  }

  private drawCurve(recording: Recording): void {
    const { predictedReward, deviation } = recording;
    const y = Array.from(predictedReward);
    this.chart.set({
      x: y.map((_, step) => step),
      y,
      low: y.map((mean, step) => mean - (deviation[step] ?? 0)),
      high: y.map((mean, step) => mean + (deviation[step] ?? 0)),
      xName: "step",
    });
  }

  private async askAbout(): Promise<void> {
    const { stage, recording, player } = this;
    if (!stage || !recording || !player) return;
    const step = Math.min(player.moment, recording.steps - 1);
    this.askButton.disabled = true;
    try {
      const question = await stage.client.askAbout(stage.runId, recording.policyVersion, step);
      say(`Asked: question ${question} sets the moment around step ${step} against a recent clip.`);
    } catch (failure) {
      say(sentence(failure));
    } finally {
      this.askButton.disabled = false;
    }
  }
}
