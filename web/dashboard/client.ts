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

// All pages of a list: what `read` makes of each, with the page after it.
async function pages<T>(read: (page: string) => Promise<[T[], string]>): Promise<T[]> {
  const all: T[] = [];
  let page = "";
  do {
    const [items, next] = await read(page);
    all.push(...items);
    page = next;
  } while (page !== "");
  return all;
}

// Everything that the page asks of the broker. Calls fail with a ConnectError.
export class BrokerClient {
  private readonly review = jsonClient(ReviewService);
  private readonly runs = jsonClient(RunService);
  private readonly kept = new Map<string, model.DrawnClip>();

  async listRuns(): Promise<model.Run[]> {
    const all = await pages(async (page) => {
      const answer = await this.runs.list({ limit: listedRuns, page }, within());
      return [answer.runs, answer.nextPage];
    });
    return all.slice(0, listedRuns).map(run);
  }

  // Resolves when the run has moved on from revision `since`, or after some time.
  async watch(id: number, since: number, signal: AbortSignal): Promise<model.Dashboard> {
    const request = { runId: BigInt(id), sinceRevision: BigInt(since), waitMs: watchMs };
    return dashboard(await this.review.watch(request, { signal }));
  }

  async listMetrics(runId: number, names: string[]): Promise<model.MetricPoint[]> {
    return pages(async (page) => {
      const request = { runId: BigInt(runId), names, page };
      const answer = await this.runs.listMetrics(request, within());
      return [plain(answer.points), answer.nextPage];
    });
  }

  async listEvaluations(runId: number): Promise<model.Evaluation[]> {
    const episodes = await pages(async (page) => {
      const answer = await this.runs.listEvaluations({ runId: BigInt(runId), page }, within());
      return [answer.episodes, answer.nextPage];
    });
    return episodes.map((message) => ({
      ...plain(message),
      metrics: new Map(Object.entries(message.metrics)),
    }));
  }

  async listLabelers(runId: number): Promise<model.Labeler[]> {
    return pages(async (page) => {
      const answer = await people.listLabelers({ runId: BigInt(runId), page }, within());
      return [answer.labelers.map(labeler), answer.nextPage];
    });
  }

  async setLabelerState(id: number, state: model.LabelerState, reason: string): Promise<void> {
    const request = { labelerId: BigInt(id), state: LabelerState[state], reason };
    await people.setLabelerState(request, within());
  }

  async listDisagreements(runId: number): Promise<model.DisputedQuestion[]> {
    const request = { runId: BigInt(runId), limit: 12 };
    return (await this.review.listDisagreements(request, within())).questions.map(disputed);
  }

  async listLabels(
    runId: number,
    { purpose, choice, questionId, beforeLabelId, ...filter }: model.LabelFilter,
  ): Promise<{ labels: model.Label[]; more: boolean }> {
    const { labels, more } = await this.review.listLabels(
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
  }

  async newestClips(runId: number, newest: number): Promise<model.DrawnClip[]> {
    return this.getClips({ runId: BigInt(runId), newest });
  }

  // Clips that were fetched are kept: a clip never changes.
  async clips(runId: number, ids: string[]): Promise<model.DrawnClip[]> {
    const missing = ids.filter((id) => !this.kept.has(id));
    for (let i = 0; i < missing.length; i += clipsPerCall) {
      const clipIds = missing.slice(i, i + clipsPerCall);
      await this.getClips({ runId: BigInt(runId), clipIds });
    }
    return ids.flatMap((id) => this.kept.get(id) ?? []);
  }

  private async getClips(
    request: Parameters<typeof this.review.getClips>[0],
  ): Promise<model.DrawnClip[]> {
    const clips = (await this.review.getClips(request, within())).clips.map(clip);
    for (const clip of clips) this.kept.set(clip.clipId, clip);
    for (const id of this.kept.keys()) {
      if (this.kept.size <= keptClips) break;
      this.kept.delete(id);
    }
    return clips;
  }

  async episode(runId: number, policyVersion: number): Promise<model.Episode> {
    const request = { runId: BigInt(runId), policyVersion: BigInt(policyVersion) };
    return episode(await this.review.getEpisode(request, within()));
  }

  // Makes a moment of a recorded episode a question; its id.
  async askAbout(id: number, version: number, step: number): Promise<number> {
    const request = {
      requestId: randomId(),
      runId: BigInt(id),
      policyVersion: BigInt(version),
      step,
    };
    return Number((await this.review.askAbout(request, within())).questionId);
  }

  async addGold(
    id: number,
    clipIds: string[],
    answer: model.GoldAnswer,
    explanation: string,
    use: model.GoldUse,
  ): Promise<void> {
    const codes = { answer: Choice[answer], use: GoldUse[use] };
    await this.review.addGold({ runId: BigInt(id), clipIds, explanation, ...codes }, within());
  }

  async listGold(runId: number): Promise<model.GoldPair[]> {
    return pages(async (page) => {
      const answer = await this.review.listGold({ runId: BigInt(runId), page }, within());
      return [answer.pairs.map(gold), answer.nextPage];
    });
  }

  async removeGold(goldId: number): Promise<void> {
    await this.review.removeGold({ goldId: BigInt(goldId) }, within());
  }

  async stopAsking(runId: number): Promise<void> {
    await this.runs.stopAsking({ runId: BigInt(runId) }, within());
  }

  async pauseRun(runId: number): Promise<void> {
    await this.runs.cancel({ runId: BigInt(runId), pause: true }, within());
  }
}
