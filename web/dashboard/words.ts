// What the names of the protocol mean, in words for people.
import type {
  Agreement,
  Dashboard,
  GoldUse,
  LabelerState,
  Limit,
  Purpose,
  Run,
  RunState,
} from "./model";

export const purposeWords: Record<Purpose, string> = {
  TRAIN: "training",
  GOLD: "gold",
  REPEAT: "repeat",
  QUALIFICATION: "qualification",
  PROGRESS: "progress",
};

export const useWords: Record<GoldUse, string> = {
  CHECK: "check",
  QUALIFY: "qualification",
  SHOW: "guide",
};

export const useNotes: Record<GoldUse, string> = {
  CHECK: "asked among the others; nothing tells it apart",
  QUALIFY: "asked of new labelers, who are then told the answer and why",
  SHOW: "shown in the guide with its answer",
};

export const labelerStateWords: Record<LabelerState, string> = {
  ACTIVE: "active",
  LABELER_PAUSED: "paused",
  REVOKED: "revoked",
};

export const runStateWords: Record<RunState, string> = {
  QUEUED: "queued",
  RUNNING: "running",
  PAUSED: "paused",
  FINISHED: "finished",
  FAILED: "failed",
  CANCELLED: "cancelled",
};

const limitWords: Record<Limit, string> = {
  NONE: "Training; nothing holds it up.",
  LEARNER: "Waiting for a policy learner: none serves this run.",
  TRAINER: "Waiting for a reward trainer: none serves this run.",
  WORKERS: "Waiting for rollout workers: none serves this run.",
  LABELS: "Waiting for labels: training goes on when people have answered.",
};

// What the run does now, in one sentence.
export function stateSentence(run: Run): string {
  switch (run.state) {
    case "QUEUED":
      return "Queued: it starts when a learner and a trainer are free.";
    case "RUNNING":
      if (run.limit === "NONE" && run.iterations === 0) return "Collecting the first batch.";
      return limitWords[run.limit] + (run.askingStopped ? " No more questions are asked." : "");
    case "PAUSED":
      return "Paused: continue it with “backflip train --continue”.";
    case "FINISHED":
      return run.bestVersion
        ? `Finished; the best policy is version ${run.bestVersion}.`
        : "Finished.";
    case "FAILED":
      return `Failed: ${run.message || "no reason was given."}`;
    case "CANCELLED":
      return "Cancelled.";
  }
}

// The customary bounds of Krippendorff (Content Analysis, 2004): 0.8 and 0.667.
export function agreementWords(agreement: Agreement): string {
  const alpha = agreement.nominal;
  if (alpha === undefined) {
    return agreement.questions === 0
      ? "No question has two answers yet. Ask some pairs of two or more people (queries.overlap " +
          "and overlap_share) to see whether they agree."
      : "Too few answers overlap yet to say whether people agree.";
  }
  if (alpha >= 0.8) return "Firm: people see the same differences.";
  if (alpha >= 0.667) return "Tentative: people mostly see the same, with some doubt.";
  if (alpha >= 0.3) {
    return (
      "Weak: people often differ. Pairs of similar clips lower it without anybody's fault; " +
      "look at the disputed pairs, and make the question or the instructions clearer."
    );
  }
  if (alpha >= 0) {
    return (
      "Hardly better than chance: the answers of one person say little about another's. " +
      "Look at the disputed pairs and at the gold scores."
    );
  }
  return "Below chance: somebody seems to answer the other way round. Look at the reliabilities.";
}

export function queueWords(dashboard: Dashboard): string {
  const held = dashboard.leasedQuestions;
  return held === 0 ? "nobody holds one" : `${held} held by labelers`;
}
