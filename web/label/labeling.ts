// Question after question: shown, answered by a key or a button, marked for a
// moment so that a slip is seen, sent, and the next one moves.
import { create } from "@bufbuild/protobuf";
import {
  type Answer,
  AnswerSchema,
  Choice,
  type Feedback,
  type LeaseResponse,
  NothingToLabel,
  type Session,
  type Timing,
} from "backflip/v1/label_pb";
import { RunState } from "backflip/v1/run_pb";
import { isSignedOut, labeling, sentence, within } from "../common/api";
import { h, setText, sleep } from "../common/dom";
import type { QuestionClips } from "./question_clips";
import { describe } from "./guide";
import { helpDialog } from "./help";
import { newSubmit, Outbox } from "./outbox";
import { Presence } from "./presence";
import { type Held, type KeptHeld, pack, Questions, unpack } from "./questions";
import { ordinal, Ranking } from "./ranking";
import type { Tab } from "./tab";
import { Stopwatch } from "./timing";

const client = "backflip-page/1";
// The choice stays marked for so long.
const markMs = 350;
const sessionMs = 15_000;
// Answers that can be taken back one after the other; and, of those, after the
// page was loaded anew.
const undoable = 20;
const undoableAfterReload = 5;
const noteBytes = 500;

export interface LabelingEvents {
  signedOut(): void;
  signOut(): Promise<void>;
}

interface Given {
  held: Held;
  key: string;
}

interface KeptGiven {
  held: KeptHeld;
  key: string;
}

type State =
  | { kind: "waiting" }
  | { kind: "asking"; held: Held }
  | { kind: "marked"; held: Held; answer: Answer; note: string; timing: Timing; timer: number }
  | { kind: "feedback"; held: Held };

const names = new Map([
  [Choice.LEFT, "left is better"],
  [Choice.RIGHT, "right is better"],
  [Choice.TIE, "both are the same"],
  [Choice.CANNOT_TELL, "you cannot tell"],
  [Choice.BROKEN, "the clips are broken"],
]);

export class Labeling {
  private state: State = { kind: "waiting" };
  private readonly given: Given[];
  private readonly outbox: Outbox;
  private readonly questions: Questions;
  private readonly presence = new Presence();
  private readonly watch = new Stopwatch(this.presence);
  private shown?: Held;
  private ranking?: Ranking;
  // Answers given here that the last session did not count yet.
  private uncounted = 0;
  private dismissed = "";
  private breakTold = false;
  private over = false;

  private readonly text = h("h1", { class: "asked words", id: "question" });
  private readonly hint = h("p", { class: "hint", role: "status" });
  private readonly live = h("p", { class: "sr", role: "status", "aria-live": "polite" });
  private readonly connection = h("span", { class: "connection", role: "status" });
  private readonly count = h("b");
  private readonly pace = h("span", { class: "quiet" });
  private readonly runBar = h("progress", { class: "run", max: "1", value: "0" });
  private readonly runText = h("span", { class: "quiet run-text" });
  private readonly banner = h("div", { class: "banner", hidden: true });
  private readonly choices = h("div", {
    class: "choices",
    role: "group",
    "aria-labelledby": "question",
  });
  private readonly others = h("div", {
    class: "others",
    role: "group",
    "aria-label": "Other answers",
  });
  private readonly note: HTMLDialogElement;
  private readonly noteText = h("input", {
    type: "text",
    id: "note",
    maxlength: "400",
    autocomplete: "off",
  });
  private readonly help: HTMLDialogElement;
  private readonly undoButton: HTMLButtonElement;
  private readonly buttons = new Map<Choice, HTMLButtonElement>();
  private readonly submitRanking: HTMLButtonElement;
  private readonly rankingRow = h("div", { class: "ranking-row", hidden: true });
  private readonly feedbackBox = h("div", { class: "feedback", hidden: true, role: "status" });

  constructor(
    root: HTMLElement,
    private readonly clips: QuestionClips,
    run: bigint,
    private session: Session,
    private readonly tab: Tab,
    private readonly events: LabelingEvents,
  ) {
    const kept = tab.read<KeptGiven[]>("given") ?? [];
    this.given = kept.map(({ held, key }) => ({ held: unpack(held), key }));
    const choice = (value: Choice, keys: string[], shortcuts: string, ...content: Node[]) => {
      const button = h(
        "button",
        {
          type: "button",
          class: "choice",
          "aria-keyshortcuts": shortcuts,
          "aria-pressed": "false",
          click: () => this.choose(value),
        },
        ...content,
        h(
          "span",
          { class: "keys", "aria-hidden": "true" },
          ...keys.map((key) => h("kbd", {}, key)),
        ),
      );
      this.buttons.set(value, button);
      return button;
    };
    const side = (wide: string, tall: string) => [
      h("span", { class: "when-wide" }, wide),
      h("span", { class: "when-tall" }, tall),
    ];
    this.choices.append(
      choice(Choice.LEFT, ["←", "1"], "ArrowLeft 1", ...side("Left is better", "Upper is better")),
      choice(Choice.TIE, ["↑", "0"], "ArrowUp 0", h("span", {}, "Same")),
      choice(
        Choice.RIGHT,
        ["→", "2"],
        "ArrowRight 2",
        ...side("Right is better", "Lower is better"),
      ),
    );
    this.undoButton = h(
      "button",
      { type: "button", class: "choice minor", "aria-keyshortcuts": "z", click: () => this.undo() },
      h("span", {}, "Undo"),
      h("span", { class: "keys", "aria-hidden": "true" }, h("kbd", {}, "z")),
    );
    const cannot = choice(
      Choice.CANNOT_TELL,
      ["↓", "s"],
      "ArrowDown s",
      h("span", {}, "Can’t tell"),
    );
    const broken = choice(Choice.BROKEN, ["b"], "b", h("span", {}, "Broken"));
    cannot.classList.add("minor");
    broken.classList.add("minor");
    this.others.append(cannot, broken, this.undoButton);
    this.submitRanking = h(
      "button",
      {
        type: "button",
        class: "primary",
        "aria-keyshortcuts": "Enter",
        click: () => this.sendRanking(),
      },
      "Send this order ",
      h("kbd", { "aria-hidden": "true" }, "enter"),
    );

    this.note = h("dialog", { "aria-labelledby": "note-title" });
    this.note.append(
      h(
        "form",
        {
          method: "dialog",
          submit: () => this.mark({ choice: Choice.BROKEN }, this.noteText.value),
        },
        h("h2", { id: "note-title" }, "What is broken?"),
        h("label", { for: "note" }, "A remark, if you like"),
        this.noteText,
        h(
          "div",
          { class: "dialog-buttons" },
          h(
            "button",
            { type: "button", click: () => this.note.close() },
            "Cancel ",
            h("kbd", {}, "esc"),
          ),
          h(
            "button",
            { type: "submit", class: "primary" },
            "Report as broken ",
            h("kbd", {}, "enter"),
          ),
        ),
      ),
    );
    this.help = helpDialog();

    const helpButton = h(
      "button",
      {
        type: "button",
        class: "control",
        "aria-keyshortcuts": "?",
        click: () => this.help.showModal(),
      },
      "Help ",
      h("kbd", { "aria-hidden": "true" }, "?"),
    );
    const leave = h(
      "button",
      { type: "button", class: "control quiet", click: () => void this.leave() },
      "Sign out",
    );
    root.replaceChildren(
      h(
        "header",
        { class: "bar" },
        h("span", { class: "who" }, h("span", { class: "words name" }, session.name), leave),
        h("span", { class: "mine" }, this.count, this.pace),
        this.connection,
        h("span", { class: "of-run" }, this.runText, this.runBar),
        helpButton,
      ),
      h(
        "main",
        { class: "labeling" },
        this.banner,
        h("div", { class: "top" }, this.text, this.hint),
        clips.element,
        clips.controls,
        this.feedbackBox,
        this.rankingRow,
        this.choices,
        this.others,
        this.live,
      ),
      this.note,
      this.help,
    );
    setText(this.text, session.question);

    this.outbox = new Outbox(tab.name, {
      connection: (online) => this.setConnection(online),
      refused: (failure) => this.tell(`One answer was not stored: ${sentence(failure)}`),
      signedOut: () => this.end(),
      changed: () => this.updateCounts(),
    });
    this.questions = new Questions(run, tab, this.presence, {
      arrived: () => {
        for (const { question } of this.questions.peek())
          void this.clips.prepare(question).catch(() => {});
        if (this.state.kind === "waiting" && !this.presence.away) this.advance();
      },
      none: (response) => {
        if (!this.presence.away) this.nothing(response);
      },
      connection: (online) => this.setConnection(online),
      refused: (message) => this.tell(message),
      signedOut: () => this.end(),
    });
    this.presence.onAway = () => this.nobody();
    this.presence.onBack = () => this.somebody();
    clips.player.onFirstMove = () => this.watch.moved();
    clips.player.onPlayedOnce = () => this.updateHint();
    addEventListener("keydown", (event) => this.key(event));
    // after a click with the mouse the keys are for the clips again
    root.addEventListener("click", (event) => {
      const button = (event.target as Element).closest("button");
      if (button && event instanceof MouseEvent && event.detail > 0) button.blur();
    });
    addEventListener("offline", () => this.setConnection(false));
    addEventListener("online", () => this.setConnection(true));
    this.updateSession();
    this.showWaiting("Fetching the next pair …");
    this.update();
    this.outbox.send();
    this.questions.start();
    void this.follow();
  }

  // --- questions ---

  // The clips of the question are on the screen, and nothing covers them.
  private get seen(): boolean {
    return (
      this.shown !== undefined &&
      this.state.kind !== "waiting" &&
      this.shown === this.state.held &&
      this.clips.overlay.hidden
    );
  }

  private get mayUndo(): boolean {
    return (
      this.state.kind === "marked" || (this.given.length > 0 && this.state.kind !== "feedback")
    );
  }

  private advance(): void {
    const held = this.questions.next();
    this.ranking = undefined;
    this.noteText.value = "";
    this.feedbackBox.hidden = true;
    this.clips.mark([]);
    if (!held) {
      this.state = { kind: "waiting" };
      this.showWaiting(
        navigator.onLine
          ? "Fetching the next pair …"
          : "There is no connection. Your answers are kept.",
      );
      this.update();
      return;
    }
    this.state = { kind: "asking", held };
    this.watch.reset();
    setText(this.text, held.question.text);
    this.update();
    void this.display(held);
  }

  private async display(held: Held): Promise<void> {
    const { question } = held;
    for (let tries = 0; ; ++tries) {
      try {
        await this.clips.prepare(question);
        break;
      } catch {
        this.showWaiting("The picture cannot be fetched yet; trying again …");
        await sleep(Math.min(10_000, 500 * 2 ** tries));
      }
      if (this.over || this.state.kind === "waiting" || this.state.held !== held) return;
    }
    if (this.over || this.state.kind === "waiting" || this.state.held !== held) return;
    const count = question.clips.length;
    if (count > 2) this.makeRanking(count);
    this.rankingRow.hidden = count <= 2;
    this.choices.hidden = count > 2;
    this.clips.element.parentElement?.classList.toggle("many", count > 2);
    await this.clips.show(question);
    this.shown = held;
    this.announce(
      question.practice ? "Practice. " : "",
      count > 2 ? `${count} clips to put in order.` : "Next pair.",
    );
    this.update();
  }

  private makeRanking(count: number): void {
    this.ranking = new Ranking(count, {
      changed: () => this.updateRanking(),
      announce: (text) => this.announce(text),
    });
    const tie = h(
      "button",
      { type: "button", "aria-keyshortcuts": "t", click: () => this.ranking?.tie() },
      "Last two equal ",
      h("kbd", { "aria-hidden": "true" }, "t"),
    );
    this.rankingRow.replaceChildren(
      this.ranking.element,
      h("div", { class: "ranking-buttons" }, tie, this.submitRanking),
    );
    this.updateRanking();
  }

  private updateRanking(): void {
    const { ranking } = this;
    if (!ranking) return;
    this.submitRanking.disabled = !ranking.complete || this.state.kind !== "asking";
    this.clips.mark(
      Array.from({ length: ranking.count }, (_, position) => {
        const rank = ranking.rankOf(position);
        return rank ? ordinal(rank) : undefined;
      }),
    );
  }

  private sendRanking(): void {
    if (!this.ranking?.complete) {
      this.refuse("Give every clip a place first.");
      return;
    }
    this.mark({ ranking: this.ranking.groups });
  }

  // --- answers ---

  private choose(choice: Choice): void {
    const { state } = this;
    if (
      state.kind === "marked" &&
      state.answer.answer.case === "choice" &&
      state.answer.answer.value === choice
    ) {
      this.commit();
      return;
    }
    if ((state.kind !== "asking" && state.kind !== "marked") || !this.seen) return;
    if (choice === Choice.BROKEN) {
      if (state.kind === "marked") this.unmark();
      this.note.showModal();
      this.noteText.focus();
      return;
    }
    this.mark({ choice });
  }

  private mark(given: { choice: Choice } | { ranking: number[][] }, note = ""): void {
    if (this.state.kind === "marked") this.unmark();
    if (this.state.kind !== "asking" || !this.seen) return;
    const { held } = this.state;
    const { player } = this.clips;
    const broken = "choice" in given && given.choice === Choice.BROKEN;
    if (held.question.mustPlayOnce && !player.playedOnce && !broken) {
      this.refuse(
        player.playing
          ? `Watch each clip to its end first: ${Math.max(0.1, player.left).toFixed(1)} s to go.`
          : "Watch each clip to its end first: play them with the space key.",
      );
      return;
    }
    const answer = create(AnswerSchema, {
      answer:
        "choice" in given
          ? { case: "choice", value: given.choice }
          : {
              case: "ranking",
              value: { groups: given.ranking.map((positions) => ({ positions })) },
            },
    });
    const timing = this.watch.read(held.received, player.loops);
    this.state = {
      kind: "marked",
      held,
      answer,
      note,
      timing,
      timer: window.setTimeout(() => this.commit(), markMs),
    };
    if ("choice" in given) {
      this.announce(`Marked: ${names.get(given.choice)}.`);
      const chosen = "✓";
      this.clips.mark([
        given.choice === Choice.LEFT || given.choice === Choice.TIE ? chosen : undefined,
        given.choice === Choice.RIGHT || given.choice === Choice.TIE ? chosen : undefined,
      ]);
    } else {
      this.announce("Order marked.");
    }
    this.update();
  }

  private unmark(): void {
    if (this.state.kind !== "marked") return;
    clearTimeout(this.state.timer);
    this.state = { kind: "asking", held: this.state.held };
    if (!this.ranking) this.clips.mark([]);
    this.update();
  }

  private commit(): void {
    if (this.state.kind !== "marked") return;
    const { held, answer, note, timing, timer } = this.state;
    clearTimeout(timer);
    const request = newSubmit({
      leaseId: held.question.leaseId,
      answer,
      supersedes: undefined,
      timing,
      client,
      note: shorten(note),
    });
    const sent = this.outbox.submit(request);
    if (held.question.practice) {
      this.state = { kind: "feedback", held };
      this.update();
      void this.feedback(
        held,
        sent.then((response) => response?.feedback),
      );
      return;
    }
    ++this.uncounted;
    this.given.push({ held, key: request.idempotencyKey });
    if (this.given.length > undoable) this.given.shift();
    this.keepGiven();
    this.questions.answered();
    this.advance();
    this.updateCounts();
  }

  private keepGiven(): void {
    const kept = this.given
      .slice(-undoableAfterReload)
      .map(({ held, key }): KeptGiven => ({ held: pack(held), key }));
    this.tab.keep("given", kept);
  }

  private undo(): void {
    if (this.state.kind === "marked") {
      this.unmark();
      this.announce("Not sent. Answer again.");
      return;
    }
    if (this.ranking?.back()) return;
    if (this.state.kind === "feedback") return;
    const last = this.given.pop();
    if (!last) {
      this.refuse("There is no answer to take back.");
      return;
    }
    this.keepGiven();
    this.outbox.undo(last.held.question.leaseId, last.key);
    this.uncounted = Math.max(-Number(this.session.answers), this.uncounted - 1);
    this.questions.putBack(last.held);
    this.advance();
    this.updateCounts();
    this.refuse("Taken back: answer this one again.");
  }

  private async feedback(held: Held, coming: Promise<Feedback | undefined>): Promise<void> {
    const slow = window.setTimeout(() => setText(this.hint, "Looking up the answer …"), 400);
    const feedback = await coming;
    clearTimeout(slow);
    if (this.state.kind !== "feedback" || this.state.held !== held) return;
    if (!feedback) {
      this.continue();
      return;
    }
    const go = h(
      "button",
      { type: "button", class: "primary", click: () => this.continue() },
      "Continue ",
      h("kbd", { "aria-hidden": "true" }, "enter"),
    );
    const heading = feedback.correct ? "Yes." : "Not quite.";
    this.feedbackBox.replaceChildren(
      h(
        "div",
        { class: feedback.correct ? "right" : "wrong" },
        h(
          "b",
          {},
          h("span", { "aria-hidden": "true" }, feedback.correct ? "✓ " : "↺ "),
          `${heading} ${describe(feedback.expected)}. `,
        ),
        h("span", { class: "words" }, feedback.explanation),
      ),
      go,
    );
    this.feedbackBox.hidden = false;
    this.update();
    go.focus();
  }

  private continue(): void {
    if (this.state.kind !== "feedback") return;
    this.questions.answered();
    this.advance();
    void this.refresh();
  }

  // --- what is said ---

  private announce(...parts: string[]): void {
    const text = parts.join("");
    // the same words again must be read again
    this.live.textContent = this.live.textContent === text ? `${text}\u00a0` : text;
  }

  private hintUntil = 0;
  private refuse(text: string): void {
    setText(this.hint, text);
    this.hint.classList.remove("shake");
    void this.hint.offsetWidth; // starts the movement again
    this.hint.classList.add("shake");
    this.hintUntil = performance.now() + 2_500;
    window.setTimeout(() => this.updateHint(), 2_600);
  }

  private updateHint(): void {
    if (performance.now() < this.hintUntil) return;
    this.hint.classList.remove("shake");
    const { state } = this;
    if (state.kind === "waiting") return setText(this.hint, "");
    const { question } = state.held;
    const practice = question.practice
      ? `Practice${this.session.qualificationLeft > 0 ? `: ${this.session.qualificationLeft} to go` : ""}. `
      : "";
    if (state.kind === "feedback") return setText(this.hint, practice);
    const watching = question.mustPlayOnce && !this.clips.player.playedOnce;
    setText(this.hint, practice + (watching ? "Watch each clip to its end." : ""));
  }

  private tell(text: string, ...buttons: HTMLButtonElement[]): void {
    if (
      text === this.dismissed ||
      (!this.banner.hidden && this.banner.firstElementChild?.textContent === text)
    )
      return;
    const close = h(
      "button",
      {
        type: "button",
        class: "control",
        click: () => {
          this.dismissed = text;
          this.banner.hidden = true;
        },
      },
      "Close",
    );
    this.banner.replaceChildren(h("p", { class: "words", role: "alert" }, text), ...buttons, close);
    this.banner.hidden = false;
  }

  private showWaiting(title: string, ...more: (Node | string)[]): void {
    this.clips.player.clear();
    this.clips.cover(
      h("h2", {}, title),
      ...more.map((part) => (typeof part === "string" ? h("p", { class: "words" }, part) : part)),
    );
  }

  private nothing(response: LeaseResponse): void {
    if (this.state.kind !== "waiting") {
      if (response.message) this.tell(response.message);
      return;
    }
    const wait = "This page goes on by itself.";
    const said = response.message;
    const show = (title: string, ...more: (Node | string)[]) => {
      // what is said here need not be said twice
      if (this.banner.firstElementChild?.textContent === said) this.banner.hidden = true;
      this.showWaiting(title, ...more.filter((part) => part !== ""));
      this.announce(title);
    };
    switch (response.none) {
      case NothingToLabel.LEARNING: {
        const eta =
          response.etaMs > 0
            ? `New clips in about ${Math.ceil(response.etaMs / 1000)} seconds.`
            : "New clips come soon.";
        show(
          "It is learning from your answers",
          `${eta} ${wait}`,
          said,
          h("div", { class: "pulse", "aria-hidden": "true" }),
        );
        break;
      }
      case NothingToLabel.PAUSED_BY_OPERATOR:
        show("Paused", "The people who run this have paused it.", wait, said);
        break;
      case NothingToLabel.BUDGET_SPENT:
        show("All answers are in", "Nothing more is asked. Thank you.", said);
        break;
      case NothingToLabel.ALL_ANSWERED_BY_YOU:
        show(
          "You have answered everything there is",
          `New clips come when it has learned more. ${wait}`,
          said,
        );
        break;
      case NothingToLabel.YOU_ARE_PAUSED:
        show("You are paused", said || "The people who run this have paused you.", wait);
        break;
      case NothingToLabel.SESSION_COMPLETE:
        this.complete(response.completionCode, said);
        break;
      case NothingToLabel.NEEDS_MORE_CLIPS_ON_SCREEN:
        show(
          "This needs a wider window",
          "What waits are several clips to be put in order, for a window at least 1,024 pixels wide.",
          wait,
        );
        break;
      default:
        show("Nothing to do right now", wait, said);
    }
    void this.refresh();
  }

  private complete(code: string, said: string): void {
    const parts: (Node | string)[] = [said || "That was all. Thank you."];
    if (code) {
      const copy = h(
        "button",
        {
          type: "button",
          click: () => {
            void navigator.clipboard?.writeText(code).then(() => setText(copy, "Copied"));
          },
        },
        "Copy",
      );
      parts.push(
        "Your completion code:",
        h("p", { class: "code" }, h("output", { class: "words" }, code), copy),
      );
    }
    this.showWaiting("Your session is complete", ...parts);
    this.announce("Your session is complete.");
  }

  private online = true;
  private setConnection(online: boolean): void {
    this.online = online && navigator.onLine;
    this.updateCounts();
  }

  // --- what is shown of the session ---

  private async follow(): Promise<void> {
    while (!this.over) {
      await sleep(sessionMs);
      if (document.visibilityState === "visible" && !this.presence.away) await this.refresh();
    }
  }

  private refreshing = false;
  private async refresh(): Promise<void> {
    if (this.refreshing || this.over) return;
    this.refreshing = true;
    try {
      const unsent = this.outbox.unsent;
      this.session = await labeling.getSession({ runId: this.session.runId }, within());
      this.uncounted = unsent;
      this.updateSession();
    } catch (failure) {
      if (isSignedOut(failure)) this.end();
    }
    this.refreshing = false;
  }

  private updateSession(): void {
    const { session } = this;
    const wanted = Number(session.runLabelBudget);
    const share = wanted > 0 ? Math.min(1, Number(session.runLabels) / wanted) : 0;
    this.runBar.value = share;
    this.runBar.hidden = wanted === 0;
    this.runBar.setAttribute("aria-label", "Progress of the whole run");
    const over = session.runState === RunState.FINISHED || session.runState === RunState.CANCELLED;
    setText(
      this.runText,
      over ? "The run has ended" : wanted > 0 ? `${session.runLabels} of ${wanted} collected` : "",
    );
    if (session.breakSuggested && !this.breakTold) {
      const minutes = Math.round(Number(session.activeMs) / 60_000);
      this.tell(
        minutes > 1
          ? `You have worked for a while (${minutes} minutes in all). Rest your eyes a little: nothing is lost.`
          : "Time to rest your eyes a little: nothing is lost.",
        h("button", { type: "button", class: "primary", click: () => this.rest() }, "Take a break"),
      );
      this.breakTold = true;
    } else if (session.message && !(session.paused && this.state.kind === "waiting")) {
      this.tell(session.message);
    }
    // once for each stretch of work
    if (!session.breakSuggested) this.breakTold = false;
    this.updateCounts();
    this.updateHint();
  }

  private rest(): void {
    this.banner.hidden = true;
    if (this.clips.player.playing) this.clips.player.toggle();
    const go = h(
      "button",
      {
        type: "button",
        class: "primary",
        click: () => {
          this.clips.overlay.hidden = true;
          this.update();
          if (!this.clips.player.playing) this.clips.player.toggle();
        },
      },
      "Go on",
    );
    this.clips.cover(
      h("h2", {}, "Have a break"),
      h("p", {}, "Look at something far away. Go on whenever you like."),
      go,
    );
    this.update();
    go.focus();
  }

  // Nobody is at the page: nothing is asked until somebody is.
  private nobody(): void {
    if (this.over) return;
    const title = "Paused because nobody is here";
    const text = h("p", {}, "No time is counted. Press any key or touch the page to go on.");
    if (this.state.kind === "feedback") this.clips.cover(h("h2", {}, title), text);
    else this.showWaiting(title, text);
    this.announce(title);
    this.update();
    document.title = "Paused · Backflip";
  }

  private somebody(): void {
    if (this.over) return;
    const lost = this.questions.resume();
    void this.refresh();
    if (this.state.kind === "feedback") {
      this.clips.overlay.hidden = true;
      this.update();
    } else if (this.state.kind === "waiting" || lost) {
      this.advance();
    } else {
      this.unmark();
      this.shown = undefined;
      void this.display(this.state.held);
      this.update();
    }
  }

  private updateCounts(): void {
    const { session } = this;
    const mine = Math.max(0, Number(session.answers) + this.uncounted);
    const wanted = Number(session.answersWanted);
    setText(
      this.count,
      wanted > 0 ? `${mine} of ${wanted} answers` : mine === 1 ? "1 answer" : `${mine} answers`,
    );
    setText(
      this.pace,
      session.answersPerMinute > 0 ? `${session.answersPerMinute.toFixed(1)} a minute` : "",
    );
    const unsent = this.outbox?.unsent ?? 0;
    const lost = !this.online;
    this.connection.classList.toggle("lost", lost);
    setText(
      this.connection,
      lost
        ? `No connection${unsent > 0 ? `: ${unsent} ${unsent === 1 ? "answer is" : "answers are"} kept and will be sent` : ", trying again"}`
        : "",
    );
    this.undoButton.disabled = !this.mayUndo && !(this.ranking && this.ranking.groups.length > 0);
  }

  private update(): void {
    const { state } = this;
    const open = (state.kind === "asking" || state.kind === "marked") && this.seen;
    document.title = state.kind === "waiting" ? "Waiting · Backflip" : "Backflip";
    const chosen =
      state.kind === "marked" && state.answer.answer.case === "choice"
        ? state.answer.answer.value
        : undefined;
    for (const [choice, button] of this.buttons) {
      button.disabled = !open;
      button.setAttribute("aria-pressed", String(choice === chosen));
    }
    if (state.kind !== "asking" && state.kind !== "marked") {
      this.rankingRow.hidden = true;
      this.choices.hidden = state.kind === "feedback";
    }
    this.others.classList.toggle("away", state.kind === "feedback");
    this.others.parentElement?.classList.toggle("idle", state.kind === "waiting");
    this.submitRanking.disabled = !this.ranking?.complete || state.kind !== "asking";
    this.submitRanking.classList.toggle("marked", state.kind === "marked");
    this.updateHint();
    this.updateCounts();
  }

  // --- keys ---

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || this.over) return;
    const target = event.target as Element;
    if (document.querySelector("dialog[open]") || target.closest("input, textarea")) return;
    const onButton = target.closest("button") !== null;
    const { player } = this.clips;
    if (event.repeat && !",.".includes(event.key)) {
      if (/^Arrow| $/.test(event.key)) event.preventDefault();
      return;
    }
    if (event.shiftKey && event.key.startsWith("Arrow")) {
      player.turn(
        { ArrowLeft: -10, ArrowRight: 10 }[event.key] ?? 0,
        { ArrowUp: -5, ArrowDown: 5 }[event.key] ?? 0,
      );
      event.preventDefault();
      return;
    }
    const digit = /^[0-9]$/.test(event.key) ? Number(event.key) : -1;
    if (this.ranking && digit >= 1) {
      if (this.state.kind === "asking") this.ranking.place(digit - 1);
      event.preventDefault();
      return;
    }
    const choices: Record<string, Choice> = this.ranking
      ? { ArrowDown: Choice.CANNOT_TELL, s: Choice.CANNOT_TELL, b: Choice.BROKEN }
      : {
          ArrowLeft: Choice.LEFT,
          "1": Choice.LEFT,
          ArrowRight: Choice.RIGHT,
          "2": Choice.RIGHT,
          ArrowUp: Choice.TIE,
          "0": Choice.TIE,
          ArrowDown: Choice.CANNOT_TELL,
          s: Choice.CANNOT_TELL,
          b: Choice.BROKEN,
        };
    const choice = choices[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (choice !== undefined) {
      this.choose(choice);
      event.preventDefault();
      return;
    }
    switch (event.key) {
      case "z":
      case "Z":
        this.undo();
        break;
      case " ":
        if (onButton) return;
        player.toggle();
        break;
      case "Enter":
        if (onButton) return;
        if (this.state.kind === "feedback" && !this.feedbackBox.hidden) this.continue();
        else if (this.state.kind === "marked") this.commit();
        else if (this.ranking && this.state.kind === "asking") this.sendRanking();
        else return;
        break;
      case "Backspace":
        if (!this.ranking) return;
        this.ranking.back();
        break;
      case "t":
      case "=":
        this.ranking?.tie();
        break;
      case ",":
        player.move(-1);
        break;
      case ".":
        player.move(1);
        break;
      case "[":
        player.faster(-1);
        break;
      case "]":
        player.faster(1);
        break;
      case "?":
        this.help.showModal();
        break;
      default:
        return;
    }
    event.preventDefault();
  }

  // --- the end ---

  private end(): void {
    if (this.over) return;
    this.stop();
    this.events.signedOut();
  }

  private stop(): void {
    this.over = true;
    this.questions.stop();
    this.tab.forget();
    this.clips.player.clear();
  }

  private async leave(): Promise<void> {
    if (this.outbox.unsent > 0) {
      this.tell("Some answers are not sent yet: sign out when there is a connection again.");
      return;
    }
    try {
      await this.events.signOut();
      this.stop();
    } catch (failure) {
      this.tell(sentence(failure));
    }
  }
}

// At most so many bytes of UTF-8, without half a letter.
function shorten(text: string): string {
  const trimmed = text.trim();
  const bytes = new TextEncoder().encode(trimmed);
  if (bytes.length <= noteBytes) return trimmed;
  return new TextDecoder().decode(bytes.slice(0, noteBytes)).replace(/\ufffd+$/, "");
}
