// From the JSON of backflip.v1 (64-bit numbers as texts, unset fields left
// out) to what the page shows.
import { randomId } from "../common/dom";
import type {
  Answer,
  Client,
  Dashboard,
  DisputedQuestion,
  DrawnClip,
  Episode,
  Evaluation,
  GoldPair,
  Label,
  Labeler,
  MetricPoint,
  Poses,
  Run,
} from "./model";

// One unary call: POST /backflip.v1.<method>.
export type Call = (method: string, request: object, signal?: AbortSignal) => Promise<Json>;
export type Json = Record<string, any>;

const watchMs = 25_000;
// As many clips as a call may name.
const clipsPerCall = 16;
// Clips kept at hand; the oldest leave.
const keptClips = 400;
// More than the newest runs nobody looks for here.
const listedRuns = 100;

function int(value: unknown): number {
  return value === undefined || value === null ? 0 : Number(value);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function optional(value: unknown): number | undefined {
  return value === undefined || value === null ? undefined : Number(value);
}

function list(value: unknown): Json[] {
  return Array.isArray(value) ? value : [];
}

function poses(value: Json | undefined): Poses {
  return { bodies: int(value?.["bodies"]), poses: Float32Array.from(value?.["poses"] ?? []) };
}

function answer(value: Json | undefined): Answer | undefined {
  if (!value) return undefined;
  if (value["ranking"]) {
    return {
      ranking: list(value["ranking"].groups).map((group) => (group["positions"] ?? []).map(Number)),
    };
  }
  return { choice: value["choice"] ?? "CANNOT_TELL" };
}

function numbers(value: Json | undefined): Map<string, number> {
  return new Map(Object.entries(value ?? {}).map(([name, number]) => [name, Number(number)]));
}

export function runFrom(value: Json): Run {
  const spec: Json = value["spec"] ?? {};
  const task: Json = value["task"] ?? {};
  return {
    id: int(value["id"]),
    state: value["state"] ?? "QUEUED",
    task: text(task["name"]),
    question: text(task["question"]),
    metricNames: task["metrics"] ?? [],
    hasTrueReward: !!task["hasTrueReward"],
    playbackFps: int(task["playbackFps"]),
    sceneHash: text(task["sceneHash"]),
    learned: spec["reward"] !== "TRUE",
    seed: int(spec["seed"]),
    message: text(value["message"]),
    iterations: int(value["iterations"]),
    steps: int(value["steps"]),
    stepBudget: int(spec["steps"]),
    labels: int(value["labels"]),
    labelBudget: int(spec["labels"]),
    limit: text(value["limit"]).replace("LIMIT_", "") as Run["limit"],
    bestVersion: int(value["bestVersion"]),
    metrics: numbers(value["metrics"]),
    revision: int(value["revision"]),
    askingStopped: !!value["askingStopped"],
    forkedFromRun: int(value["forkedFromRun"]),
    forkedFromVersion: int(value["forkedFromVersion"]),
  };
}

export function dashboardFrom(value: Json): Dashboard {
  const agreement: Json = value["agreement"] ?? {};
  return {
    run: runFrom(value["run"] ?? {}),
    openQuestions: int(value["openQuestions"]),
    leasedQuestions: int(value["leasedQuestions"]),
    labelsLastHour: int(value["labelsLastHour"]),
    activeLabelers: int(value["activeLabelers"]),
    agreement: {
      nominal: optional(agreement["nominal"]),
      ordinal: optional(agreement["ordinal"]),
      questions: int(agreement["questions"]),
      answers: int(agreement["answers"]),
    },
    progress: list(value["progress"]).map((point) => ({
      iteration: int(point["iteration"]),
      steps: int(point["steps"]),
      answers: int(point["answers"]),
      winRate: int(point["winRate"]),
      low: int(point["low"]),
      high: int(point["high"]),
    })),
    alerts: value["alerts"] ?? [],
  };
}

function pointFrom(value: Json): MetricPoint {
  return {
    name: text(value["name"]),
    iteration: int(value["iteration"]),
    steps: int(value["steps"]),
    labels: int(value["labels"]),
    value: int(value["value"]),
  };
}

function evaluationFrom(value: Json): Evaluation {
  return {
    policyVersion: int(value["policyVersion"]),
    iteration: int(value["iteration"]),
    trueReturn: optional(value["trueReturn"]),
    metrics: numbers(value["metrics"]),
    final: !!value["final"],
  };
}

function labelerFrom(value: Json): Labeler {
  return {
    id: int(value["id"]),
    name: text(value["name"]),
    teacher: !!value["teacher"],
    state: value["state"] ?? "ACTIVE",
    reason: text(value["reason"]),
    labels: int(value["labels"]),
    medianSeconds: int(value["medianSeconds"]),
    goldScore: optional(value["goldScore"]),
    goldAnswers: int(value["goldAnswers"]),
    selfConsistency: optional(value["selfConsistency"]),
    repeats: int(value["repeats"]),
    leftShare: optional(value["leftShare"]),
    cannotTellShare: optional(value["cannotTellShare"]),
    reliability: optional(value["reliability"]),
    reliabilityLow: optional(value["reliabilityLow"]),
    reliabilityHigh: optional(value["reliabilityHigh"]),
    dawidSkene: optional(value["dawidSkene"]),
    lastAnswerMs: int(value["lastAnswerMs"]),
  };
}

function labelFrom(value: Json): Label {
  const timing: Json = value["timing"] ?? {};
  return {
    labelId: int(value["labelId"]),
    questionId: int(value["questionId"]),
    purpose: value["purpose"] ?? "TRAIN",
    clipIds: value["clipIds"] ?? [],
    answer: answer(value["answer"]) ?? { choice: "CANNOT_TELL" },
    expected: answer(value["expected"]),
    labeler: text(value["labeler"]),
    answeredMs: int(value["answeredMs"]),
    decisionMs: int(timing["decisionMs"]),
    activeMs: int(timing["activeMs"]),
    loops: int(timing["loops"]),
    client: text(value["client"]),
    surplus: !!value["surplus"],
    selector: text(value["selector"]),
    round: int(value["round"]),
    undoCount: int(value["undoCount"]),
    turned: !!value["turned"],
    note: text(value["note"]),
  };
}

function disputedFrom(value: Json): DisputedQuestion {
  return {
    questionId: int(value["questionId"]),
    clipIds: value["clipIds"] ?? [],
    answers: list(value["answers"]).map((entry) => ({
      labeler: text(entry["labeler"]),
      answer: answer(entry["answer"]) ?? { choice: "CANNOT_TELL" },
      answeredMs: int(entry["answeredMs"]),
      note: text(entry["note"]),
    })),
    disagreement: int(value["disagreement"]),
  };
}

function clipFrom(value: Json): DrawnClip {
  return {
    clipId: text(value["clipId"]),
    iteration: int(value["iteration"]),
    poses: poses(value["poses"]),
  };
}

function episodeFrom(value: Json): Episode {
  return {
    policyVersion: int(value["policyVersion"]),
    steps: int(value["steps"]),
    poses: poses(value["poses"]),
    playbackFps: int(value["playbackFps"]),
    sceneHash: text(value["sceneHash"]),
    predictedReward: Float32Array.from(value["predictedReward"] ?? []),
    deviation: Float32Array.from(value["deviation"] ?? []),
    recordedVersions: list(value["recordedVersions"]).map(Number),
  };
}

function goldFrom(value: Json): GoldPair {
  return {
    goldId: int(value["goldId"]),
    clipIds: value["clipIds"] ?? [],
    answer: value["answer"],
    explanation: text(value["explanation"]),
    use: value["use"],
    asked: int(value["asked"]),
    answeredRight: int(value["answeredRight"]),
  };
}

export function makeClient(call: Call): Client {
  const kept = new Map<string, DrawnClip>();
  const keep = (clips: DrawnClip[]) => {
    for (const clip of clips) kept.set(clip.clipId, clip);
    for (const id of kept.keys()) {
      if (kept.size <= keptClips) break;
      kept.delete(id);
    }
  };
  return {
    listRuns: async () =>
      list((await call("RunService/List", { limit: listedRuns }))["runs"]).map(runFrom),
    watch: async (runId, sinceRevision, signal) =>
      dashboardFrom(
        await call("ReviewService/Watch", { runId, sinceRevision, waitMs: watchMs }, signal),
      ),
    listMetrics: async (runId, names) =>
      list((await call("RunService/ListMetrics", { runId, names }))["points"]).map(pointFrom),
    listEvaluations: async (runId) =>
      list((await call("RunService/ListEvaluations", { runId }))["episodes"]).map(evaluationFrom),
    listLabelers: async (runId) =>
      list((await call("PeopleService/ListLabelers", { runId }))["labelers"]).map(labelerFrom),
    setLabelerState: async (labelerId, state, reason) => {
      await call("PeopleService/SetLabelerState", { labelerId, state, reason });
    },
    listDisagreements: async (runId) =>
      list((await call("ReviewService/ListDisagreements", { runId, limit: 12 }))["questions"]).map(
        disputedFrom,
      ),
    listLabels: async (runId, filter) => {
      const answer = await call("ReviewService/ListLabels", { runId, limit: 25, ...filter });
      return { labels: list(answer["labels"]).map(labelFrom), more: !!answer["more"] };
    },
    newestClips: async (runId, newest) => {
      const clips = list((await call("ReviewService/GetClips", { runId, newest }))["clips"]).map(clipFrom);
      keep(clips);
      return clips;
    },
    clips: async (runId, ids) => {
      const missing = ids.filter((id) => !kept.has(id));
      for (let i = 0; i < missing.length; i += clipsPerCall) {
        const clipIds = missing.slice(i, i + clipsPerCall);
        keep(list((await call("ReviewService/GetClips", { runId, clipIds }))["clips"]).map(clipFrom));
      }
      return ids.flatMap((id) => kept.get(id) ?? []);
    },
    episode: async (runId, policyVersion) =>
      episodeFrom(await call("ReviewService/GetEpisode", { runId, policyVersion })),
    askAbout: async (runId, policyVersion, step) =>
      int(
        (await call("ReviewService/AskAbout", { requestId: randomId(), runId, policyVersion, step }))[
          "questionId"
        ],
      ),
    addGold: async (runId, clipIds, answer, explanation, use) => {
      await call("ReviewService/AddGold", { runId, clipIds, answer, explanation, use });
    },
    listGold: async (runId) =>
      list((await call("ReviewService/ListGold", { runId }))["pairs"]).map(goldFrom),
    removeGold: async (goldId) => {
      await call("ReviewService/RemoveGold", { goldId });
    },
    stopAsking: async (runId) => {
      await call("RunService/StopAsking", { runId });
    },
    pauseRun: async (runId) => {
      await call("RunService/Cancel", { runId, pause: true });
    },
  };
}
