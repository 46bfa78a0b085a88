// What a new labeler reads first: instructions, then worked examples with the
// right answer and why.
import { type Answer, Choice, type Guide } from "backflip/v1/label_pb";
import { h, paragraphs, setText } from "../common/dom";
import type { QuestionClips } from "./question_clips";

// As the sides are shown; places count from 1.
export function describe(answer: Answer | undefined): string {
  const given = answer?.answer;
  if (given?.case === "ranking") {
    return given.value.groups
      .map((group) => group.positions.map((p) => p + 1).join(" = "))
      .join(", then ");
  }
  switch (given?.case === "choice" ? given.value : undefined) {
    case Choice.LEFT:
      return "Left is better";
    case Choice.RIGHT:
      return "Right is better";
    case Choice.TIE:
      return "Both are the same";
    default:
      return "Nobody can tell";
  }
}

// Resolves when it has been gone through.
export async function showGuide(
  root: HTMLElement,
  clips: QuestionClips,
  guide: Guide,
): Promise<void> {
  const pages = guide.examples.length + (guide.instructions ? 1 : 0);
  if (pages === 0) return;
  const first = guide.instructions ? 1 : 0;
  const title = h("h1", { tabindex: "-1" });
  const body = h("div", { class: "guide-text" });
  const back = h("button", { type: "button" }, "Back ", h("kbd", {}, "←"));
  const next = h("button", { type: "button", class: "primary" });
  const count = h("span", { class: "quiet" });
  const card = h(
    "main",
    { class: "guide" },
    h("p", { class: "asked words" }, guide.question),
    title,
    body,
    h("div", { class: "guide-buttons" }, back, count, next),
  );
  root.replaceChildren(card);
  let page = 0;
  const show = async () => {
    const last = page === pages - 1;
    next.replaceChildren(
      last ? (guide.qualificationLeft > 0 ? "Try it yourself " : "Begin ") : "Next ",
      h("kbd", {}, "→"),
    );
    back.hidden = page === 0;
    setText(count, `${page + 1} of ${pages}`);
    card.classList.toggle("reading", page < first);
    if (page < first) {
      clips.player.clear();
      setText(title, "What to look for");
      body.replaceChildren(...paragraphs(guide.instructions));
    } else {
      const example = guide.examples[page - first]!;
      setText(title, guide.examples.length > 1 ? `Example ${page - first + 1}` : "An example");
      const verdict = h(
        "div",
        { class: "verdict" },
        h("b", {}, `${describe(example.answer)}.`),
        ...paragraphs(example.explanation),
      );
      body.replaceChildren(clips.element, clips.controls, verdict);
      await clips.show(example);
      const choice =
        example.answer?.answer.case === "choice" ? example.answer.answer.value : undefined;
      clips.mark([
        choice === Choice.LEFT ? "better" : choice === Choice.TIE ? "same" : undefined,
        choice === Choice.RIGHT ? "better" : choice === Choice.TIE ? "same" : undefined,
      ]);
    }
    title.focus();
  };
  await new Promise<void>((resolve) => {
    const turn = (by: number) => {
      if (page + by < 0) return;
      page += by;
      if (page < pages) return void show();
      removeEventListener("keydown", keys);
      clips.mark([]);
      resolve();
    };
    const keys = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (
        event.key === "ArrowRight" ||
        (event.key === "Enter" && !(event.target as Element).closest("button"))
      )
        turn(1);
      else if (event.key === "ArrowLeft") turn(-1);
      else if (event.key === " " && !(event.target as Element).closest("button"))
        clips.player.toggle();
      else if (event.key === ",") clips.player.move(-1);
      else if (event.key === ".") clips.player.move(1);
      else return;
      event.preventDefault();
    };
    next.addEventListener("click", () => turn(1));
    back.addEventListener("click", () => turn(-1));
    addEventListener("keydown", keys);
    void show();
  });
}
