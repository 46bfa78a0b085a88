// A recorded episode over the curve of its predicted reward.
import { button, h, setText } from "../../common/dom";
import { sentence } from "../../common/failures";
import type { CanvasGroup } from "../../viewer/canvas_group";
import { Chart } from "../chart";
import { say } from "../dialog";
import type { Episode as Recording } from "../model";
import { type Panel, panelSection, type RunView } from "../panel";
import { playButton } from "../play_button";

const noRecording =
  "No episode recorded yet: the first comes with the first evaluation of the policy.";

export class Episode implements Panel {
  readonly link = "Episode";
  readonly loads = "episode";
  readonly element: HTMLElement;
  private view?: RunView;
  private recording?: Recording;
  private group?: CanvasGroup;
  // The newest evaluated version that was looked at.
  private seen = 0;
  private asked = 0;
  private readonly version = h("select", {
    "aria-label": "Recorded version of the policy",
    change: () => void this.fetch(Number(this.version.value)),
  });
  private readonly picture = h("div", { class: "episode-picture" });
  private readonly empty = h("p", { class: "empty", role: "status" }, noRecording);
  private readonly slider = h("input", {
    type: "range",
    value: "0",
    min: 0,
    step: 1,
    "aria-label": "Moment of the episode",
    input: () => this.group?.player.seek(Number(this.slider.value)),
  });
  private readonly moment = h("output", { class: "quiet" });
  private readonly buttons = h("div", { class: "episode-buttons" });
  private readonly speed = h(
    "select",
    {
      "aria-label": "Speed",
      change: () => {
        if (this.group) this.group.player.speed = Number(this.speed.value);
      },
    },
    ...["0.25", "0.5", "1", "2", "4"].map((value) => h("option", { value }, `${value}×`)),
  );
  private readonly askButton = button("Ask about this moment", () => void this.askAbout(), {
    class: "primary",
  });
  private readonly chart = new Chart({
    title: "Predicted reward, step by step",
    note: "Mean of the ensemble’s members, their standard deviation shaded: where the band is wide, they do not know. Click to go to a step.",
    empty: "No ensemble has been trained yet, so there is nothing to predict with.",
    color: "--series-2",
    bandNames: ["mean − deviation", "mean + deviation"],
    onSeek: (step) => this.group?.player.seek(Math.round(step)),
    height: 300,
  });
  private readonly recorded: HTMLElement;

  constructor() {
    this.speed.value = "1";
    this.recorded = h(
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
    this.element = panelSection(
      "episode",
      "An evaluation episode",
      h("div", { class: "section-buttons" }, h("label", {}, "Version ", this.version)),
      this.empty,
      this.recorded,
    );
    this.showOrHide();
  }

  async load(view: RunView) {
    const evaluations = await view.evaluations();
    const newest = evaluations.reduce((most, e) => Math.max(most, e.policyVersion), 0);
    return () => void this.update(view, newest);
  }

  // The newest recording is followed, unless the reader chose another one or
  // has stopped this one at a moment.
  private async update(view: RunView, newest: number): Promise<void> {
    if (view.run.id !== this.view?.run.id) {
      ++this.asked;
      this.recording = undefined;
      this.seen = 0;
      this.showOrHide();
    }
    this.view = view;
    if (newest === this.seen) return;
    if (await this.fetch(this.following() ? 0 : this.recording!.policyVersion)) this.seen = newest;
  }

  private following(): boolean {
    const { recording, group } = this;
    if (!recording || !group) return true;
    const newest = recording.policyVersion === Math.max(...recording.recordedVersions);
    return newest && (group.player.playing || group.player.step === 0);
  }

  // Version 0: the newest. True: it is shown.
  private async fetch(version: number): Promise<boolean> {
    const { view } = this;
    if (!view) return false;
    const asked = ++this.asked;
    let recording: Recording;
    try {
      recording = await view.client.episode(view.run.id, version);
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
    if (!same) this.play(view, recording);
    this.drawVersions(recording);
    this.drawCurve(recording);
    this.showOrHide();
    return true;
  }

  private showOrHide(): void {
    const here = !!this.recording;
    if (!here) setText(this.empty, noRecording);
    this.empty.hidden = here;
    this.recorded.hidden = !here;
    this.version.parentElement!.hidden = !here;
  }

  private play(view: RunView, recording: Recording): void {
    const playing = this.group?.player.playing;
    this.group?.close();
    this.group = view.renderer.group(recording.playbackFps || view.fps, playing);
    const { player } = this.group;
    player.speed = Number(this.speed.value);
    player.addEventListener("step", () => this.moved());
    this.slider.max = String(recording.steps);
    this.picture.replaceChildren(
      this.group.add(
        `Episode of policy version ${recording.policyVersion}, moving picture`,
        recording.sceneHash || view.run.sceneHash,
        recording.poses,
      ),
    );
    this.buttons.replaceChildren(
      playButton(player, "the episode"),
      h("label", {}, "Speed ", this.speed),
      this.askButton,
    );
    this.moved();
  }

  private moved(): void {
    const { step } = this.group!.player;
    const words = `step ${step} of ${this.recording!.steps}`;
    this.slider.value = String(step);
    this.slider.setAttribute("aria-valuetext", words);
    setText(this.moment, words);
    this.chart.setMarker(step);
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
    const { view, recording, group } = this;
    if (!view || !recording || !group) return;
    const step = Math.min(group.player.step, recording.steps - 1);
    this.askButton.disabled = true;
    try {
      const question = await view.client.askAbout(view.run.id, recording.policyVersion, step);
      say(`Asked: question ${question} sets the moment around step ${step} against a recent clip.`);
    } catch (failure) {
      say(sentence(failure));
    } finally {
      this.askButton.disabled = false;
    }
  }
}
