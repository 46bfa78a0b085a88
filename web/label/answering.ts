// What becomes of a question: it is asked; its answer is marked for a moment, so that
// a slip is seen; then it is sent, and the next question is asked. After practice the
// right answer is shown first. Knows nothing of the page.
import type { Feedback, Timing } from "backflip/v1/label_pb";
import { type Answer, type Choice, choiceWords, sameAnswer, toMessage } from "../common/answers";
import type { Player } from "../viewer/player";
import { newSubmit, type Outbox } from "./outbox";
import { type Held, type KeptHeld, pack, type Questions, unpack } from "./questions";
import type { Tab } from "./tab";

const client = "backflip-page/1";
// How long an answer stays marked before it is sent.
export const markMs = 350;
// Until feedback that has not come is said to be looked up.
const slowMs = 400;
// Answers that can be taken back one after the other; and, of those, after the page
// was loaded anew.
const undoable = 20;
const undoableAfterReload = 5;
const noteBytes = 500;

export type State =
  | { kind: "waiting" }
  | { kind: "asking"; held: Held }
  | { kind: "marked"; held: Held; answer: Answer; note: string; timing: Timing }
  | { kind: "feedback"; held: Held; feedback?: Feedback; slow: boolean };

export interface AnsweringParts {
  outbox: Pick<Outbox, "submit" | "undo">;
  questions: Pick<Questions, "next" | "answered" | "putBack">;
  tab: Pick<Tab, "read" | "keep">;
  player: Pick<Player, "playing" | "playedOnce" | "left" | "loops">;
  // How long the person has taken for a question up to now.
  timing(held: Held): Timing;
  // The question's clips are on the screen, and nothing covers them.
  seen(held: Held): boolean;
}

export interface AnsweringEvents {
  // `state` is another one.
  changed(): void;
  // Another question, or none, is there to be answered.
  asked(held: Held | undefined): void;
  // A remark is wanted on what is broken; mark() takes it.
  noteWanted(): void;
  // An answer was given (1) or taken back (-1).
  counted(by: number): void;
  // For screen readers.
  announce(text: string): void;
  // Why something that the person has tried is not possible.
  refuse(text: string): void;
}

interface Given<H> {
  held: H;
  key: string;
}

export class Answering {
  private current: State = { kind: "waiting" };
  private timer: ReturnType<typeof setTimeout> | undefined;
  // The last answers, which can be taken back.
  private readonly given: Given<Held>[];

  constructor(
    private readonly parts: AnsweringParts,
    private readonly events: AnsweringEvents,
  ) {
    const kept = parts.tab.read<Given<KeptHeld>[]>("given") ?? [];
    this.given = kept.map(({ held, key }) => ({ held: unpack(held), key }));
  }

  get state(): State {
    return this.current;
  }

  get held(): Held | undefined {
    return this.current.kind === "waiting" ? undefined : this.current.held;
  }

  // An answer may be given, or changed.
  get open(): boolean {
    const { kind } = this.current;
    return (kind === "asking" || kind === "marked") && this.parts.seen(this.current.held);
  }

  get marked(): Answer | undefined {
    return this.current.kind === "marked" ? this.current.answer : undefined;
  }

  get mayUndo(): boolean {
    const { kind } = this.current;
    return kind === "marked" || (this.given.length > 0 && kind !== "feedback");
  }

  // Asks the next question, or waits for one.
  advance(): void {
    const held = this.parts.questions.next();
    this.become(held ? { kind: "asking", held } : { kind: "waiting" });
    this.events.asked(held);
  }

  // The same choice again sends it at once.
  choose(choice: Choice): void {
    if (this.marked && sameAnswer(this.marked, { choice })) {
      this.commit();
    } else if (!this.open) {
      return;
    } else if (choice === "BROKEN") {
      this.unmark();
      this.events.noteWanted();
    } else {
      this.mark({ choice });
    }
  }

  mark(answer: Answer, note = ""): void {
    this.unmark();
    if (this.current.kind !== "asking" || !this.open) return;
    const { held } = this.current;
    const { player } = this.parts;
    const broken = "choice" in answer && answer.choice === "BROKEN";
    if (held.question.mustPlayOnce && !player.playedOnce && !broken) {
      this.events.refuse(
        player.playing
          ? `Watch each clip to its end first: ${Math.max(0.1, player.left).toFixed(1)} s to go.`
          : "Watch each clip to its end first: play them with the space key.",
      );
      return;
    }
    this.timer = setTimeout(() => this.commit(), markMs);
    const timing = this.parts.timing(held);
    this.become({ kind: "marked", held, answer, note, timing });
    this.events.announce(
      "choice" in answer ? `Marked: ${choiceWords[answer.choice]}.` : "Order marked.",
    );
  }

  // Drops an answer that is marked.
  unmark(): void {
    if (this.current.kind === "marked") this.become({ kind: "asking", held: this.current.held });
  }

  // Sends the answer that is marked.
  commit(): void {
    if (this.current.kind !== "marked") return;
    const { held, answer, note, timing } = this.current;
    const request = newSubmit({
      leaseId: held.question.leaseId,
      answer: toMessage(answer),
      supersedes: undefined,
      timing,
      client,
      note: shorten(note),
    });
    const sent = this.parts.outbox.submit(request);
    if (held.question.practice) {
      void this.showFeedback(
        held,
        sent.then((response) => response?.feedback),
      );
      return;
    }
    this.given.push({ held, key: request.idempotencyKey });
    if (this.given.length > undoable) this.given.shift();
    this.keepGiven();
    this.events.counted(1);
    this.parts.questions.answered();
    this.advance();
  }

  // Drops what is marked, or takes the last answer back and asks it again.
  undo(): void {
    if (this.current.kind === "marked") {
      this.unmark();
      this.events.announce("Not sent. Answer again.");
      return;
    }
    if (this.current.kind === "feedback") return;
    const last = this.given.pop();
    if (!last) {
      this.events.refuse("There is no answer to take back.");
      return;
    }
    this.keepGiven();
    this.parts.outbox.undo(last.held.question.leaseId, last.key);
    this.events.counted(-1);
    this.parts.questions.putBack(last.held);
    this.advance();
    this.events.refuse("Taken back: answer this one again.");
  }

  // The broker has refused the answer that was given under this key.
  refused(key: string): void {
    const at = this.given.findIndex((given) => given.key === key);
    if (at < 0) return;
    this.given.splice(at, 1);
    this.keepGiven();
    this.events.counted(-1);
    this.events.changed();
  }

  // The questions are no longer this person's.
  dropQuestion(): void {
    if (this.current.kind === "asking" || this.current.kind === "marked") this.advance();
  }

  // After the feedback has been read.
  continue(): void {
    if (this.current.kind !== "feedback") return;
    this.parts.questions.answered();
    this.advance();
  }

  private async showFeedback(held: Held, coming: Promise<Feedback | undefined>): Promise<void> {
    const state: State = { kind: "feedback", held, slow: false };
    this.become(state);
    this.timer = setTimeout(() => {
      state.slow = true;
      this.events.changed();
    }, slowMs);
    const feedback = await coming;
    if (this.current !== state) return;
    clearTimeout(this.timer);
    if (feedback) this.become({ kind: "feedback", held, feedback, slow: false });
    else this.continue();
  }

  private become(state: State): void {
    if (this.current.kind === "marked") clearTimeout(this.timer);
    this.current = state;
    this.events.changed();
  }

  private keepGiven(): void {
    const kept = this.given
      .slice(-undoableAfterReload)
      .map(({ held, key }): Given<KeptHeld> => ({ held: pack(held), key }));
    this.parts.tab.keep("given", kept);
  }
}

// At most `noteBytes` bytes of UTF-8, without half a letter.
function shorten(text: string): string {
  const trimmed = text.trim();
  const bytes = new TextEncoder().encode(trimmed);
  if (bytes.length <= noteBytes) return trimmed;
  return new TextDecoder().decode(bytes.slice(0, noteBytes)).replace(/\ufffd+$/, "");
}
