// The page on which questions are answered: puts its parts together, and carries what
// happens in one to the others.
import type { LeaseResponse, Session } from "backflip/v1/label_pb";
import { labeling } from "../common/api";
import { button, h, setText, sleep } from "../common/dom";
import { isPause, isSignedOut, sentence, within } from "../common/failures";
import { AnswerButtons } from "./answer_buttons";
import { Answering } from "./answering";
import { Banner } from "./banner";
import { Departure } from "./departure";
import { FeedbackBox } from "./feedback";
import { helpDialog } from "./help";
import { bindingOf, type Command } from "./keymap";
import { Outbox } from "./outbox";
import { Presence } from "./presence";
import type { QuestionClips } from "./question_clips";
import { type Held, Questions } from "./questions";
import { RankingView } from "./ranking_view";
import { SessionBar } from "./session_bar";
import type { Tab } from "./tab";
import { Stopwatch } from "./timing";
import { waitingContent, waitingWords } from "./waiting";

const sessionMs = 15_000;
const fetchingWords = "Fetching the next pair …";
const offlineWords = "There is no connection. Your answers are kept.";

export interface LabelingEvents {
  signedOut(): void;
  signOut(): Promise<void>;
}

export class Labeling {
  private readonly presence = new Presence();
  private readonly stopwatch = new Stopwatch(this.presence);
  private readonly outbox: Outbox;
  private readonly questions: Questions;
  private readonly answering: Answering;
  // The question whose clips are on the screen.
  private shown?: Held;
  private ranking?: RankingView;
  private departure?: Departure;
  private breakSuggested = false;
  private refreshing = false;
  private over = false;

  private readonly text = h("h1", { class: "asked words", id: "question" });
  private readonly hint = h("p", { class: "hint", role: "status" });
  private hintUntil = 0;
  private readonly live = h("p", { class: "sr", role: "status", "aria-live": "polite" });
  private readonly banner = new Banner();
  private readonly bar: SessionBar;
  private readonly buttons: AnswerButtons;
  private readonly feedback = new FeedbackBox(() => this.continue());
  private readonly help = helpDialog();
  private readonly rankingRow = h("div", { class: "ranking-row", hidden: true });
  private readonly main: HTMLElement;

  constructor(
    root: HTMLElement,
    private readonly clips: QuestionClips,
    run: bigint,
    private session: Session,
    private readonly tab: Tab,
    private readonly events: LabelingEvents,
  ) {
    this.bar = new SessionBar(session, {
      help: () => this.help.showModal(),
      leave: () => void this.leave(),
    });
    this.buttons = new AnswerButtons({
      choose: (choice) => this.answering.choose(choice),
      undo: () => this.undo(),
      broken: (note) => this.answering.mark({ choice: "BROKEN" }, note),
    });
    this.outbox = new Outbox(tab.name, labeling, {
      connection: (failure) => this.bar.setConnection(failure),
      refused: (failure, key) => this.refused(failure, key),
      signedOut: () => this.end(),
      changed: () => this.bar.setUnsent(this.outbox.unsent),
    });
    this.questions = new Questions(run, tab, this.presence, labeling, {
      arrived: () => this.arrived(),
      none: (response) => {
        if (!this.presence.away) this.nothing(response);
      },
      connection: (failure) => this.bar.setConnection(failure),
      refused: (message) => this.banner.showUntilPairs(message),
      signedOut: () => this.end(),
    });
    this.answering = new Answering(
      {
        outbox: this.outbox,
        questions: this.questions,
        tab,
        player: clips.player,
        timing: (held) => this.stopwatch.read(held.received, clips.player.loops),
        seen: (held) => this.shown === held && !clips.covered,
      },
      {
        changed: () => this.update(),
        asked: (held) => this.asked(held),
        noteWanted: () => this.buttons.askNote(),
        counted: (by) => this.bar.counted(by),
        announce: (text) => this.announce(text),
        refuse: (text) => this.refuse(text),
      },
    );
    this.main = h(
      "main",
      { class: "labeling" },
      this.banner.element,
      h("div", { class: "top" }, this.text, this.hint),
      clips.element,
      clips.controls,
      this.feedback.element,
      this.rankingRow,
      this.buttons.choices,
      this.buttons.others,
      this.live,
    );
    root.replaceChildren(this.bar.element, this.main, this.buttons.dialog, this.help);
    setText(this.text, session.question);
    this.listen(root);
    this.showSession();
    this.bar.setUnsent(this.outbox.unsent);
    this.cover(fetchingWords);
    this.update();
    this.outbox.send();
    this.questions.start();
    void this.follow();
  }

  private listen(root: HTMLElement): void {
    this.presence.onAway = () => this.pauseForNobody();
    this.presence.onBack = () => this.resume();
    this.clips.onFirstPicture = () => this.stopwatch.moved();
    this.clips.player.addEventListener("end", () => this.updateHint());
    addEventListener("keydown", (event) => this.key(event));
    addEventListener("offline", () => this.bar.setConnection("offline"));
    const { documentElement } = document;
    const measure = () =>
      documentElement.classList.toggle("taller", documentElement.scrollHeight > innerHeight + 1);
    new ResizeObserver(measure).observe(root);
    addEventListener("resize", measure);
    addEventListener("online", () => this.online());
    // after a click with the mouse the keys are for the clips again
    root.addEventListener("click", (event) => {
      if (event.detail > 0) (event.target as Element).closest("button")?.blur();
    });
  }

  // --- questions ---

  private arrived(): void {
    this.banner.pairsArrived();
    for (const { question } of this.questions.peek()) this.clips.prepare(question);
    if (this.answering.state.kind === "waiting" && !this.presence.away) this.answering.advance();
  }

  private asked(held: Held | undefined): void {
    this.ranking = undefined;
    this.buttons.clear();
    if (!held) {
      this.cover(navigator.onLine ? fetchingWords : offlineWords);
      this.update();
      return;
    }
    this.stopwatch.reset();
    setText(this.text, held.question.text);
    this.update();
    void this.display(held);
  }

  private refused(failure: unknown, key: string): void {
    this.answering.refused(key);
    if (!isPause(failure)) {
      this.banner.show(`One answer was not stored: ${sentence(failure)}`);
      return;
    }
    // the broker has taken the pairs back, too; it says why where pairs would be
    this.questions.drop();
    this.answering.dropQuestion();
    this.banner.showUntilPairs("Your last answer was not stored, since you are paused.");
  }

  private online(): void {
    this.bar.setConnection();
    // the call that waits for more may not have noticed anything
    if (this.over || this.presence.away || this.answering.state.kind !== "waiting") return;
    this.cover(fetchingWords);
    void this.questions.explain();
  }

  private async display(held: Held): Promise<void> {
    const { question } = held;
    const gone = () => this.over || this.answering.held !== held;
    for (let tries = 0; !(await this.clips.prepare(question)); ++tries) {
      if (gone()) return;
      this.cover("The picture cannot be fetched yet; trying again …");
      await sleep(Math.min(10_000, 500 * 2 ** tries));
    }
    if (gone()) return;
    const count = question.clips.length;
    if (count > 2) {
      this.ranking = new RankingView(count, {
        changed: () => this.update(),
        announce: (text) => this.announce(text),
        send: () => this.sendRanking(),
      });
      this.rankingRow.replaceChildren(...this.ranking.elements);
    }
    this.main.classList.toggle("many", count > 2);
    await this.clips.show(question);
    this.shown = held;
    const what = count > 2 ? `${count} clips to put in order.` : "Next pair.";
    this.announce(question.practice ? `Practice. ${what}` : what);
    this.update();
  }

  private sendRanking(): void {
    const ranking = this.ranking?.ranking;
    if (ranking?.complete) this.answering.mark({ ranking: ranking.groups });
    else this.refuse("Give every clip a place first.");
  }

  private undo(): void {
    if (this.answering.state.kind !== "marked" && this.ranking?.back()) return;
    this.answering.undo();
  }

  private continue(): void {
    this.answering.continue();
    void this.refresh();
  }

  // --- what is said ---

  private announce(text: string): void {
    // the same words again must be read again
    this.live.textContent = this.live.textContent === text ? `${text}\u00a0` : text;
  }

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
    const { state } = this.answering;
    if (state.kind === "waiting") {
      setText(this.hint, "");
      return;
    }
    const { mustPlayOnce, practice } = state.held.question;
    const left = this.session.qualificationLeft;
    const words = practice ? [left > 0 ? `Practice: ${left} to go.` : "Practice."] : [];
    if (state.kind === "feedback") {
      if (state.slow) words.push("Looking up the answer …");
    } else if (mustPlayOnce && !this.clips.player.playedOnce) {
      words.push("Watch each clip to its end.");
    }
    setText(this.hint, words.join(" "));
  }

  private cover(title: string, ...content: Node[]): void {
    this.clips.clear();
    this.clips.cover(h("h2", {}, title), ...content);
  }

  private nothing(response: LeaseResponse): void {
    if (this.answering.state.kind !== "waiting") {
      if (response.message) this.banner.show(response.message);
      return;
    }
    const words = waitingWords(response);
    // what is said here need not be said twice
    if (this.banner.shows(response.message)) this.banner.hide();
    this.clips.clear();
    if (words.next) {
      // not while an answer is taken back, or is on its way
      const ready = () => this.answering.state.kind === "waiting" && this.outbox.unsent === 0;
      this.departure ??= new Departure(words.next, ready);
    }
    const departure = this.departure && words.next ? [this.departure.element] : [];
    this.clips.cover(...waitingContent(words), ...departure);
    this.announce(words.title);
    void this.refresh();
  }

  // --- the session ---

  private async follow(): Promise<void> {
    while (!this.over) {
      await sleep(sessionMs);
      if (document.visibilityState === "visible" && !this.presence.away) await this.refresh();
    }
  }

  private async refresh(): Promise<void> {
    if (this.refreshing || this.over) return;
    this.refreshing = true;
    try {
      const { unsent } = this.outbox;
      this.session = await labeling.getSession({ runId: this.session.runId }, within());
      this.bar.show(this.session, unsent);
      this.showSession();
    } catch (failure) {
      if (isSignedOut(failure)) this.end();
    }
    this.refreshing = false;
  }

  private showSession(): void {
    const { activeMs, breakSuggested, message, paused } = this.session;
    if (breakSuggested && !this.breakSuggested) {
      const minutes = Math.round(Number(activeMs) / 60_000);
      this.banner.show(
        minutes > 1
          ? `You have worked for a while (${minutes} minutes in all). Rest your eyes a little: nothing is lost.`
          : "Time to rest your eyes a little: nothing is lost.",
        button("Take a break", () => this.rest(), { class: "primary" }),
      );
    } else if (message && !(paused && this.answering.state.kind === "waiting")) {
      this.banner.show(message);
    }
    this.breakSuggested = breakSuggested;
    this.updateHint();
  }

  private rest(): void {
    const { player } = this.clips;
    this.banner.hide();
    player.playing = false;
    const goOn = () => {
      this.clips.uncover();
      this.update();
      player.playing = true;
    };
    const go = button("Go on", goOn, { class: "primary" });
    this.clips.cover(
      h("h2", {}, "Have a break"),
      h("p", {}, "Look at something far away. Go on whenever you like."),
      go,
    );
    this.update();
    go.focus();
  }

  // Nothing is asked until somebody is at the page again.
  private pauseForNobody(): void {
    if (this.over) return;
    const title = "Paused because nobody is here";
    const text = h("p", {}, "No time is counted. Press any key or touch the page to go on.");
    // (any press is noticed by presence)
    const go = button("Go on", () => {}, { class: "primary" });
    if (this.answering.state.kind === "feedback") this.clips.cover(h("h2", {}, title), text, go);
    else this.cover(title, text, go);
    this.announce(title);
    this.update();
    document.title = "Paused · Backflip";
  }

  private resume(): void {
    if (this.over) return;
    const lost = this.questions.resume();
    void this.refresh();
    const { kind } = this.answering.state;
    if (kind === "feedback") {
      this.clips.uncover();
      this.update();
    } else if (kind === "waiting" || lost) {
      this.answering.advance();
    } else {
      this.answering.unmark();
      this.shown = undefined;
      void this.display(this.answering.held!);
      this.update();
    }
  }

  private update(): void {
    const { answering, ranking } = this;
    const { state, open, marked } = answering;
    document.title = state.kind === "waiting" ? "Waiting · Backflip" : "Backflip";
    this.buttons.update(
      open,
      marked,
      answering.mayUndo || (ranking?.ranking.groups.length ?? 0) > 0,
    );
    this.buttons.choices.hidden = ranking !== undefined || state.kind === "feedback";
    this.buttons.others.classList.toggle("away", state.kind === "feedback");
    this.main.classList.toggle("idle", state.kind === "waiting");
    const ranks = ranking !== undefined && (state.kind === "asking" || state.kind === "marked");
    this.rankingRow.hidden = !ranks;
    ranking?.update(state.kind === "asking", state.kind === "marked");
    if (ranking) this.clips.mark(ranking.marks);
    else this.clips.markSides(marked, "✓", "✓");
    this.feedback.update(state.kind === "feedback" ? state.feedback : undefined);
    this.updateHint();
  }

  // --- keys ---

  private key(event: KeyboardEvent): void {
    if (this.over) return;
    const target = event.target as Element;
    if (document.querySelector("dialog[open]") || target.closest("input, textarea")) return;
    const binding = bindingOf(event, this.ranking ? "ranking" : "pair");
    if (!binding) return;
    const onButton = target.closest("button") !== null && [" ", "Enter"].includes(event.key);
    if (onButton) return; // presses it
    event.preventDefault();
    if (!event.repeat || binding.repeats) this.obey(binding.command);
  }

  private obey(command: Command): void {
    const { answering, clips, ranking } = this;
    const { kind } = answering.state;
    switch (command.kind) {
      case "choose":
        answering.choose(command.choice);
        break;
      case "undo":
        this.undo();
        break;
      case "enter":
        if (kind === "feedback" && !this.feedback.element.hidden) this.continue();
        else if (kind === "marked") answering.commit();
        else if (ranking && kind === "asking") this.sendRanking();
        break;
      case "place":
        if (kind === "asking") ranking?.place(command.clip);
        break;
      case "unplace":
        ranking?.back();
        break;
      case "tie":
        ranking?.tie();
        break;
      case "play":
        clips.player.toggle();
        break;
      case "step":
        clips.player.move(command.by);
        break;
      case "speed":
        clips.changeSpeed(command.by);
        break;
      case "turn":
        clips.player.turn(command.azimuth, command.elevation);
        break;
      case "help":
        this.help.showModal();
    }
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
    this.clips.clear();
  }

  private async leave(): Promise<void> {
    if (this.outbox.unsent > 0) {
      this.banner.show("Some answers are not sent yet: sign out when there is a connection again.");
      return;
    }
    try {
      await this.events.signOut();
      this.stop();
    } catch (failure) {
      this.banner.show(sentence(failure));
    }
  }
}
