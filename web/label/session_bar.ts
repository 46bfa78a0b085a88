// The bar at the top: the name of the labeler, how far they and the run are, and
// whether there is a connection.
import type { Session } from "backflip/v1/label_pb";
import { RunState } from "backflip/v1/run_pb";
import { button, h, setText } from "../common/dom";
import { isBusy } from "../common/failures";
import { keyButton } from "./key_button";

export interface SessionBarEvents {
  help(): void;
  leave(): void;
}

function isOver({ runState }: Session): boolean {
  return runState === RunState.FINISHED || runState === RunState.CANCELLED;
}

export class SessionBar {
  readonly element: HTMLElement;
  private readonly count = h("b");
  private readonly pace = h("span", { class: "quiet" });
  private readonly connection = h("span", { class: "connection", role: "status" });
  private readonly runText = h("span", { class: "quiet run-text" });
  private readonly runBar = h("progress", {
    class: "run",
    max: "1",
    value: "0",
    "aria-label": "Progress of the whole run",
  });
  // Why the server does not answer; undefined: it does.
  private failure?: unknown;
  private unsent = 0;
  // Answers that were given or taken back here since the session was asked for.
  private uncounted = 0;

  constructor(
    private session: Session,
    events: SessionBarEvents,
  ) {
    this.element = h(
      "header",
      { class: "bar" },
      h(
        "span",
        { class: "who" },
        h("span", { class: "words name" }, session.name),
        button("Sign out", () => events.leave(), { class: "control quiet" }),
      ),
      h("span", { class: "mine" }, this.count, this.pace),
      this.connection,
      h("span", { class: "of-run" }, this.runText, this.runBar),
      keyButton({ kind: "help" }, { class: "control", click: () => events.help() }, "Help "),
    );
    this.show(session, 0);
  }

  // `unsent`: answers that were not stored yet when the session was asked for.
  show(session: Session, unsent: number): void {
    this.session = session;
    this.uncounted = unsent;
    const wanted = Number(session.runLabelBudget);
    this.runBar.value = wanted > 0 ? Math.min(1, Number(session.runLabels) / wanted) : 0;
    this.runBar.hidden = wanted === 0;
    setText(
      this.runText,
      isOver(session)
        ? "The run has ended"
        : wanted > 0
          ? `${session.runLabels} of ${wanted} collected`
          : "",
    );
    this.draw();
  }

  // An answer was given (1) or taken back (-1).
  counted(by: number): void {
    this.uncounted = Math.max(-Number(this.session.answers), this.uncounted + by);
    this.draw();
  }

  // `failure`: why the server does not answer; undefined: it does.
  setConnection(failure?: unknown): void {
    this.failure = failure;
    this.draw();
  }

  setUnsent(unsent: number): void {
    this.unsent = unsent;
    this.draw();
  }

  private draw(): void {
    const { session, unsent } = this;
    const mine = Math.max(0, Number(session.answers) + this.uncounted);
    const wanted = Number(session.answersWanted);
    const counted = wanted > 0 ? `${mine} of ${wanted} answers` : `${mine} answers`;
    setText(this.count, counted === "1 answers" ? "1 answer" : counted);
    // it says nothing more once all is answered
    const over = isOver(session) || (wanted > 0 && mine >= wanted);
    const pace = over ? 0 : session.answersPerMinute;
    setText(this.pace, pace > 0 ? `${pace.toFixed(1)} a minute` : "");
    const lost = this.failure !== undefined || !navigator.onLine;
    this.connection.classList.toggle("lost", lost);
    const kept =
      unsent > 0
        ? `: ${unsent} ${unsent === 1 ? "answer is" : "answers are"} kept and will be sent`
        : ", trying again";
    const what = isBusy(this.failure) ? "The server is busy" : "No connection";
    setText(this.connection, lost ? what + kept : "");
  }
}
