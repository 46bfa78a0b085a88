// Answers as the pages hold them, and in words.
import { create } from "@bufbuild/protobuf";
import {
  type Answer as AnswerMessage,
  AnswerSchema,
  Choice as ChoiceNumber,
} from "backflip/v1/label_pb";

export type Choice = "LEFT" | "RIGHT" | "TIE" | "CANNOT_TELL" | "BROKEN";

// Positions of clips, best first; clips of the same rank share a group.
export type Answer = { choice: Choice } | { ranking: number[][] };

export const choiceWords: Record<Choice, string> = {
  LEFT: "left is better",
  RIGHT: "right is better",
  TIE: "both are the same",
  CANNOT_TELL: "cannot tell",
  BROKEN: "the clips are broken",
};

// A ranking as 2 > 1 = 3: positions from 1, best first.
export function answerWords(answer: Answer | undefined): string {
  if (!answer) return "–";
  if ("choice" in answer) return choiceWords[answer.choice] ?? answer.choice;
  return answer.ranking
    .map((group) => group.map((position) => position + 1).join(" = "))
    .join(" > ");
}

export function answerSentence(answer: Answer): string {
  const words = answerWords(answer);
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

export function sameAnswer(a: Answer, b: Answer): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

export function fromMessage(message: AnswerMessage | undefined): Answer {
  const given = message?.answer;
  if (given?.case === "ranking")
    return { ranking: given.value.groups.map(({ positions }) => positions) };
  return { choice: ChoiceNumber[given?.value ?? ChoiceNumber.CANNOT_TELL] as Choice };
}

export function toMessage(answer: Answer): AnswerMessage {
  return create(AnswerSchema, {
    answer:
      "choice" in answer
        ? { case: "choice", value: ChoiceNumber[answer.choice] }
        : {
            case: "ranking",
            value: { groups: answer.ranking.map((positions) => ({ positions })) },
          },
  });
}
