// From the messages of backflip.v1 to what the page shows, and back.

import type { Poses as PosesMessage } from "backflip/v1/clip_pb";
import { Choice, type ExportedLabel, Purpose } from "backflip/v1/label_pb";
import { type Labeler as LabelerMessage, LabelerState } from "backflip/v1/people_pb";
import {
  type Dashboard as DashboardMessage,
  type DisputedQuestion as DisputedMessage,
  type DrawnClip as DrawnMessage,
  type Episode as EpisodeMessage,
  type GoldPair as GoldMessage,
  GoldUse,
  ReviewService,
} from "backflip/v1/review_pb";
import {
  Limit,
  RewardSource,
  type Run as RunMessage,
  RunService,
  RunState,
} from "backflip/v1/run_pb";
import { fromMessage } from "../common/answers";
import { jsonClient, people } from "../common/api";
import { randomId } from "../common/dom";
import { within } from "../common/failures";
import type { Poses } from "../viewer/scene";
import type * as model from "./model";

const watchMs = 25_000;
// A call may name this many clips.
const clipsPerCall = 16;
// Clips that are kept; the oldest are dropped.
const keptClips = 400;
// The newest runs, of which one can be chosen.
const listedRuns = 100;

// 64-bit numbers as numbers: all that the page shows are small enough.
type Plain<T> = T extends bigint
  ? number
  : T extends (infer U)[]
    ? Plain<U>[]
    : T extends object
      ? { [K in keyof T as K extends "$typeName" | "$unknown" ? never : K]: Plain<T[K]> }
      : T;

function plain<T>(value: T): Plain<T> {
  if (typeof value === "bigint") return Number(value) as Plain<T>;
  if (Array.isArray(value)) return value.map(plain) as Plain<T>;
  if (typeof value !== "object" || value === null) return value as Plain<T>;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, part]) =>
      key.startsWith("$") ? [] : [[key, plain(part)]],
    ),
  ) as Plain<T>;
}

function poses(message: PosesMessage | undefined): Poses {
  return { bodies: message?.bodies ?? 0, poses: Float32Array.from(message?.poses ?? []) };
}

function run(message: RunMessage): model.Run {
  const { spec, task } = message;
  return {
    id: Number(message.id),
    state: RunState[message.state] as model.RunState,
    task: task?.name ?? "",
    question: task?.question ?? "",
    metricNames: task?.metrics ?? [],
    hasTrueReward: task?.hasTrueReward ?? false,
    playbackFps: task?.playbackFps ?? 0,
    sceneHash: task?.sceneHash ?? "",
    learned: spec?.reward !== RewardSource.TRUE,
    seed: Number(spec?.seed ?? 0),
    message: message.message,
    iterations: Number(message.iterations),
    steps: Number(message.steps),
    stepBudget: Number(spec?.steps ?? 0),
    labels: Number(message.labels),
    labelBudget: Number(spec?.labels ?? 0),
    limit: Limit[message.limit].replace("LIMIT_", "") as model.Limit,
    bestVersion: Number(message.bestVersion),
    metrics: new Map(Object.entries(message.metrics)),
    revision: Number(message.revision),
    askingStopped: message.askingStopped,
    forkedFromRun: Number(message.forkedFromRun),
    forkedFromVersion: Number(message.forkedFromVersion),
  };
}

function dashboard(message: DashboardMessage): model.Dashboard {
  return {
    ...plain(message),
    run: run(message.run!),
    agreement: message.agreement ? plain(message.agreement) : { questions: 0, answers: 0 },
  };
}

function labeler(message: LabelerMessage): model.Labeler {
  return { ...plain(message), state: LabelerState[message.state] as model.LabelerState };
}

function label(message: ExportedLabel): model.Label {
  const { timing } = message;
  return {
    ...plain(message),
    purpose: Purpose[message.purpose] as model.Purpose,
    answer: fromMessage(message.answer),
    expected: message.expected && fromMessage(message.expected),
    decisionMs: timing?.decisionMs ?? 0,
    activeMs: timing?.activeMs ?? 0,
    loops: timing?.loops ?? 0,
  };
}

function disputed(message: DisputedMessage): model.DisputedQuestion {
  return {
    ...plain(message),
    answers: message.answers.map((given) => ({
      ...plain(given),
      answer: fromMessage(given.answer),
    })),
  };
}

function clip(message: DrawnMessage): model.DrawnClip {
  return { ...plain(message), poses: poses(message.poses) };
}

function episode(message: EpisodeMessage): model.Episode {
  return {
    ...plain(message),
    poses: poses(message.poses),
    predictedReward: Float32Array.from(message.predictedReward),
    deviation: Float32Array.from(message.deviation),
  };
}

function gold(message: GoldMessage): model.GoldPair {
  return {
    ...plain(message),
    answer: Choice[message.answer] as model.GoldAnswer,
    use: GoldUse[message.use] as model.GoldUse,
  };
}

export function makeClient(): model.Client {
  const review = jsonClient(ReviewService);
  const runs = jsonClient(RunService);
  const kept = new Map<string, model.DrawnClip>();
  const keep = (clips: model.DrawnClip[]) => {
    for (const clip of clips) kept.set(clip.clipId, clip);
    for (const id of kept.keys()) {
      if (kept.size <= keptClips) break;
      kept.delete(id);
    }
  };
  return {
    listRuns: async () => (await runs.list({ limit: listedRuns }, within())).runs.map(run),
    watch: async (runId, sinceRevision, signal) =>
      dashboard(
        await review.watch(
          { runId: BigInt(runId), sinceRevision: BigInt(sinceRevision), waitMs: watchMs },
          { signal },
        ),
      ),
    listMetrics: async (runId, names) =>
      plain((await runs.listMetrics({ runId: BigInt(runId), names }, within())).points),
    listEvaluations: async (runId) =>
      (await runs.listEvaluations({ runId: BigInt(runId) }, within())).episodes.map((message) => ({
        ...plain(message),
        metrics: new Map(Object.entries(message.metrics)),
      })),
    listLabelers: async (runId) =>
      (await people.listLabelers({ runId: BigInt(runId) }, within())).labelers.map(labeler),
    setLabelerState: async (labelerId, state, reason) => {
      await people.setLabelerState(
        { labelerId: BigInt(labelerId), state: LabelerState[state], reason },
        within(),
      );
    },
    listDisagreements: async (runId) =>
      (await review.listDisagreements({ runId: BigInt(runId), limit: 12 }, within())).questions.map(
        disputed,
      ),
    listLabels: async (runId, { purpose, choice, questionId, beforeLabelId, ...filter }) => {
      const { labels, more } = await review.listLabels(
        {
          ...filter,
          runId: BigInt(runId),
          limit: 25,
          questionId: BigInt(questionId),
          beforeLabelId: BigInt(beforeLabelId),
          purpose: purpose && Purpose[purpose],
          choice: choice && Choice[choice],
        },
        within(),
      );
      return { labels: labels.map(label), more };
    },
    newestClips: async (runId, newest) => {
      const clips = (await review.getClips({ runId: BigInt(runId), newest }, within())).clips.map(
        clip,
      );
      keep(clips);
      return clips;
    },
    clips: async (runId, ids) => {
      const missing = ids.filter((id) => !kept.has(id));
      for (let i = 0; i < missing.length; i += clipsPerCall) {
        const clipIds = missing.slice(i, i + clipsPerCall);
        keep((await review.getClips({ runId: BigInt(runId), clipIds }, within())).clips.map(clip));
      }
      return ids.flatMap((id) => kept.get(id) ?? []);
    },
    episode: async (runId, policyVersion) =>
      episode(
        await review.getEpisode(
          { runId: BigInt(runId), policyVersion: BigInt(policyVersion) },
          within(),
        ),
      ),
    askAbout: async (runId, policyVersion, step) => {
      const request = {
        requestId: randomId(),
        runId: BigInt(runId),
        policyVersion: BigInt(policyVersion),
        step,
      };
      return Number((await review.askAbout(request, within())).questionId);
    },
    addGold: async (runId, clipIds, answer, explanation, use) => {
      const request = {
        runId: BigInt(runId),
        clipIds,
        answer: Choice[answer],
        explanation,
        use: GoldUse[use],
      };
      await review.addGold(request, within());
    },
    listGold: async (runId) =>
      (await review.listGold({ runId: BigInt(runId) }, within())).pairs.map(gold),
    removeGold: async (goldId) => {
      await review.removeGold({ goldId: BigInt(goldId) }, within());
    },
    stopAsking: async (runId) => {
      await runs.stopAsking({ runId: BigInt(runId) }, within());
    },
    pauseRun: async (runId) => {
      await runs.cancel({ runId: BigInt(runId), pause: true }, within());
    },
  };
}
