// What a new labeler reads first: instructions, then examples with the right answer
// and why.
import type { Guide } from "backflip/v1/label_pb";
import { answerSentence, fromMessage } from "../common/answers";
import { h, paragraphs, setText } from "../common/dom";
import { keyName } from "./keymap";
import type { QuestionClips } from "./question_clips";

// Resolves when the person has read to the end.
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
      clips.clear();
      setText(title, "What to look for");
      body.replaceChildren(...paragraphs(guide.instructions));
    } else {
      const example = guide.examples[page - first]!;
      setText(title, guide.examples.length > 1 ? `Example ${page - first + 1}` : "An example");
      const answer = fromMessage(example.answer);
      const verdict = h(
        "div",
        { class: "verdict" },
        h("b", {}, answerSentence(answer)),
        ...paragraphs(example.explanation),
      );
      body.replaceChildren(clips.element, clips.controls, verdict);
      await clips.show(example);
      clips.markSides(answer, "better", "same");
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
      const name = keyName(event);
      const onButton = (event.target as Element).closest("button") !== null;
      if (name === "ArrowRight" || (name === "Enter" && !onButton)) turn(1);
      else if (name === "ArrowLeft") turn(-1);
      else if (name === " " && !onButton) clips.player.toggle();
      else if (name === ",") clips.player.move(-1);
      else if (name === ".") clips.player.move(1);
      else return;
      event.preventDefault();
    };
    next.addEventListener("click", () => turn(1));
    back.addEventListener("click", () => turn(-1));
    addEventListener("keydown", keys);
    void show();
  });
}
