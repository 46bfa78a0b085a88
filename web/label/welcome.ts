// What a labeler reads before the first question.
import type { InviteDescription } from "backflip/v1/people_pb";
import { labeling } from "../common/api";
import { factList, h, paragraphs } from "../common/dom";
import type { Welcome } from "../common/gate";
import { sendUnsent } from "./outbox";

function minutes(count: bigint): string {
  return count === 1n ? "1 minute" : `${count} minutes`;
}

function before(invite: InviteDescription): (string | Node)[] {
  const facts: [string, string][] = [];
  if (invite.price) facts.push(["Pay", invite.price]);
  if (invite.answersWanted > 0n) facts.push(["Length", `${invite.answersWanted} answers`]);
  if (invite.minutesWanted > 0n)
    facts.push([
      facts.some(([f]) => f === "Length") ? "or" : "Length",
      minutes(invite.minutesWanted),
    ]);
  return [
    h(
      "p",
      {},
      "You will see pairs of short clips, side by side. For each pair you say which clip answers this question better:",
    ),
    h("p", { class: "asked words" }, invite.question || "Which clip is better?"),
    ...(invite.name && !invite.needsOutsideId
      ? [h("p", { class: "quiet" }, "You take part as ", h("b", {}, invite.name), ".")]
      : []),
    ...(facts.length ? [factList(facts)] : []),
    ...(invite.consent
      ? [h("section", { class: "consent", "aria-label": "Consent" }, ...paragraphs(invite.consent))]
      : []),
  ];
}

export const welcome: Welcome = {
  title: "You are invited to compare movements",
  before,
  after:
    "Your answers, when you gave them and how long you looked are stored under this name. This browser stays signed in until you sign out.",
  leave: () => sendUnsent(labeling),
};
