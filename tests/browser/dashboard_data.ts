// A made-up broker for the dashboard's tests: a run in the middle of its life
// (`rich`), a fresh one without a label (`empty`), and one on the true reward
// (`baseline`), in the JSON of backflip.v1. Calls that change something change it.

type Json = Record<string, unknown>;
type Handler = (request: any) => Json | Promise<Json>;

export class Refusal extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

// Same numbers each time.
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const hour = 3_600_000;
export const clipSteps = 50;

// Poses of the hopper turning backwards `turns` times while it jumps: its four
// bodies hang on each other as tasks/hopper_backflip/model.xml says.
export function hopperPoses(moments: number, turns: number, height: number, phase = 0): number[] {
  const joints: { at: [number, number]; anchor: [number, number] }[] = [
    { at: [0, -0.2], anchor: [0, 0] },
    { at: [0, -0.7], anchor: [0, 0.25] },
    { at: [0.13, -0.35], anchor: [-0.13, 0.1] },
  ];
  const poses: number[] = [];
  for (let m = 0; m < moments; ++m) {
    const s = (m / (moments - 1) + phase) % 1;
    const tuck = Math.sin(Math.PI * s) ** 2;
    const bends = [-1.2 * tuck, -1.6 * tuck, 0.5 * tuck].map((bend) => -bend);
    let angle = -2 * Math.PI * turns * s;
    let x = -0.6 * s;
    let z = 1.25 + height * Math.sin(Math.PI * s) - 0.25 * tuck * (height > 0.2 ? 0 : 1);
    const put = () => poses.push(x, 0, z, Math.cos(angle / 2), 0, Math.sin(angle / 2), 0);
    put();
    joints.forEach(({ at, anchor }, i) => {
      const turned = (a: number, [px, pz]: [number, number]) =>
        [px * Math.cos(a) + pz * Math.sin(a), -px * Math.sin(a) + pz * Math.cos(a)] as const;
      const [ax, az] = turned(angle, [at[0] + anchor[0], at[1] + anchor[1]]);
      angle -= bends[i]! * (i === 1 ? -1 : 1);
      const [bx, bz] = turned(angle, anchor);
      x += ax - bx;
      z += az - bz;
      put();
    });
  }
  return poses.map((value) => Math.round(value * 1e5) / 1e5);
}

// The hopper's scene, of boxes, as common/sim/mujoco/scene.h says.
export function hopperScene(): Buffer {
  const sizes: [string, number, number, number][] = [
    ["torso", 0.1, 0.5, 0],
    ["thigh", 0.1, 0.5, -0.225],
    ["leg", 0.08, 0.5, 0],
    ["foot", 0.4, 0.12, 0.1],
  ];
  const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((i) =>
    [i & 1, (i >> 1) & 1, (i >> 2) & 1].map((bit) => bit - 0.5),
  );
  const faces = [
    0, 2, 1, 1, 2, 3, 4, 5, 6, 5, 7, 6, 0, 1, 4, 1, 5, 4, 2, 6, 3, 3, 6, 7, 0, 4, 2, 2, 4, 6, 1, 3,
    5, 3, 7, 5,
  ];
  const positions = Buffer.from(Float32Array.from(corners.flat()).buffer);
  const indices = Buffer.from(Uint16Array.from(faces).buffer);
  const json = {
    asset: { version: "2.0" },
    scene: 0,
    scenes: [
      {
        nodes: [0],
        extras: {
          floor: true,
          camera: { track: "torso", distance: 4, azimuth: 90, elevation: -8, height: 0.9 },
          radius: 2,
        },
      },
    ],
    nodes: [
      { name: "root", rotation: [-Math.SQRT1_2, 0, 0, Math.SQRT1_2], children: [1, 2, 3, 4, 9] },
      ...sizes.map(([name], i) => ({ name, children: [5 + i] })),
      ...sizes.map(([, width, length, z]) => ({
        mesh: 0,
        scale: [width, 0.1, length],
        translation: [0, 0, z],
      })),
      { name: "world" },
    ],
    meshes: [{ primitives: [{ attributes: { POSITION: 0 }, indices: 1, material: 0 }] }],
    materials: [
      { pbrMetallicRoughness: { baseColorFactor: [0.16, 0.38, 0.62, 1], metallicFactor: 0 } },
    ],
    accessors: [
      {
        bufferView: 0,
        componentType: 5126,
        count: 8,
        type: "VEC3",
        min: [-0.5, -0.5, -0.5],
        max: [0.5, 0.5, 0.5],
      },
      { bufferView: 1, componentType: 5123, count: faces.length, type: "SCALAR" },
    ],
    bufferViews: [
      { buffer: 0, byteOffset: 0, byteLength: positions.length },
      { buffer: 0, byteOffset: positions.length, byteLength: indices.length },
    ],
    buffers: [{ byteLength: positions.length + indices.length }],
  };
  const text = Buffer.from(JSON.stringify(json));
  const padded = Buffer.concat([text, Buffer.alloc((4 - (text.length % 4)) % 4, " ")]);
  const head = (length: number, kind: string) => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(length, 0);
    bytes.write(kind, 4, "latin1");
    return bytes;
  };
  const body = Buffer.concat([
    head(padded.length, "JSON"),
    padded,
    head(positions.length + indices.length, "BIN\0"),
    positions,
    indices,
  ]);
  const start = Buffer.alloc(12);
  start.write("glTF", 0, "latin1");
  start.writeUInt32LE(2, 4);
  start.writeUInt32LE(12 + body.length, 8);
  return Buffer.concat([start, body]);
}

function hash(n: number): string {
  return Array.from({ length: 8 }, (_, i) =>
    ((Math.imul(n + 1, 2654435761) ^ (i * 40503)) >>> 0).toString(16).padStart(8, "0"),
  ).join("");
}

export interface LabelRow extends Json {
  labelId: string;
  questionId: string;
  purpose: string;
  clipIds: string[];
  answer: { choice: string };
  labeler: string;
  note?: string;
}

export class FakeReview {
  revision = 7;
  state = "RUNNING";
  limit = "LIMIT_LABELS";
  askingStopped = false;
  alerts: string[] = [];
  gold: Json[] = [];
  labelers: any[] = [];
  labels: LabelRow[] = [];
  // Names and requests of the calls, in order.
  calls: { method: string; request: any }[] = [];
  // The secret of the invite, until it is used up.
  secret = "s".repeat(43);
  role = "INVITE_OPERATOR";
  // The token is.
  revoked = false;
  // Nobody answers.
  offline = false;
  private waiting: (() => void)[] = [];
  private readonly random = generator(6);
  private clipNumbers = new Map<string, number>();

  constructor(
    readonly kind: "rich" | "empty" | "baseline",
    private readonly sceneHash = "5c".repeat(32),
    private readonly now = Date.now(),
  ) {
    if (kind === "empty") {
      this.limit = "LIMIT_NONE";
      return;
    }
    if (kind === "baseline") {
      this.state = "FINISHED";
      this.limit = "LIMIT_NONE";
      return;
    }
    this.alerts = [
      "The predicted return rises and people no longer see progress: the policy may be gaming the reward model. Look at its newest clips.",
      "dora is paused: 8 answers in a row came faster than a clip takes.",
    ];
    this.makeLabelers();
    this.makeLabels();
    this.addGold(
      {
        clipIds: [hash(11), hash(3)],
        answer: "LEFT",
        explanation: "The left one lands on its foot, the right one falls on its back.",
        use: "QUALIFY",
      },
      14,
      12,
    );
    this.addGold(
      { clipIds: [hash(20), hash(21)], answer: "TIE", explanation: "", use: "CHECK" },
      31,
      19,
    );
  }

  // Something happened: every call that waits is answered.
  move(change: () => void = () => {}): void {
    change();
    ++this.revision;
    for (const wake of this.waiting.splice(0)) wake();
  }

  requests(method: string): any[] {
    return this.calls.filter((call) => call.method === method).map(({ request }) => request);
  }

  count(method: string): number {
    return this.requests(method).length;
  }

  // Long polls that wait now.
  get watching(): number {
    return this.waiting.length;
  }

  get handlers(): Record<string, Handler> {
    const record = (service: string, methods: Record<string, Handler>) =>
      Object.fromEntries(
        Object.entries(methods).map(([name, handler]) => [
          `backflip.v1.${service}/${name}`,
          (request: any) => {
            this.calls.push({ method: name, request });
            return handler(request);
          },
        ]),
      );
    return {
      ...record("RunService", {
        List: () => ({ runs: [this.run(), this.oldRun()] }),
        Get: () => this.run(),
        ListMetrics: ({ names }) => ({ points: this.metrics(names ?? []) }),
        ListEvaluations: () => ({ episodes: this.evaluations() }),
        StopAsking: () => {
          this.move(() => (this.askingStopped = true));
          return this.run();
        },
        Cancel: ({ pause }) => {
          this.move(() => (this.state = pause ? "PAUSED" : "CANCELLED"));
          return this.run();
        },
      }),
      ...record("PeopleService", {
        ListLabelers: () => ({ labelers: this.labelers }),
        SetLabelerState: ({ labelerId, state, reason }) => {
          const labeler = this.labelers.find(({ id }) => id === String(labelerId));
          this.move(() => Object.assign(labeler, { state, reason: reason ?? "" }));
          return labeler;
        },
        DescribeInvite: ({ secret }) => {
          if (secret !== this.secret)
            throw new Refusal("not_found", "this invite was used up: ask for a new one");
          return { role: this.role, name: "rita", expiresMs: String(this.now + hour) };
        },
        AcceptInvite: ({ secret }) => {
          if (secret !== this.secret)
            throw new Refusal("not_found", "this invite was used up: ask for a new one");
          this.secret = "";
          return { token: "n".repeat(43), role: this.role, name: "rita" };
        },
        SignOut: () => ({}),
      }),
      ...record("ReviewService", {
        Watch: async ({ runId, sinceRevision, waitMs }) => {
          if (Number(sinceRevision ?? 0) >= this.revision) {
            await new Promise<void>((resolve) => {
              const wake = () => {
                this.waiting = this.waiting.filter((waiting) => waiting !== wake);
                resolve();
              };
              this.waiting.push(wake);
              setTimeout(wake, Number(waitMs ?? 0)).unref();
            });
          }
          return { ...this.dashboard(), run: { ...this.run(), id: String(runId) } };
        },
        ListLabels: (request) => this.listLabels(request),
        ListDisagreements: () => ({ questions: this.disputed() }),
        GetClips: ({ clipIds, newest }) => ({
          clips:
            this.kind === "empty"
              ? []
              : (clipIds?.length
                  ? clipIds
                  : Array.from({ length: newest ?? 0 }, (_, i) => hash(200 + i))
                ).map((id: string) => this.clip(id)),
        }),
        GetEpisode: ({ policyVersion }) => this.episode(Number(policyVersion ?? 0)),
        AskAbout: () => {
          if (this.state !== "RUNNING") {
            throw new Refusal(
              "failed_precondition",
              "run 12 is paused, so nobody would be asked: continue it first",
            );
          }
          return { questionId: "941" };
        },
        AddGold: (request) => {
          const pair = this.addGold(request, 0, 0);
          this.move();
          return pair;
        },
        ListGold: () => ({ pairs: this.gold }),
        RemoveGold: ({ goldId }) => {
          this.move(() => (this.gold = this.gold.filter((pair) => pair.goldId !== String(goldId))));
          return {};
        },
      }),
    };
  }

  run(): Json {
    const rich = this.kind === "rich";
    const done = this.kind !== "empty";
    return {
      id: "12",
      state: this.state,
      spec: {
        labels: 900,
        steps: "1204224",
        seed: "4",
        reward: this.kind === "baseline" ? "TRUE" : "PREFERENCES",
        queries: { overlap: 3, overlapShare: 0.15, progressShare: 0.05 },
      },
      task: {
        name: "hopper_backflip",
        clipSteps,
        evaluationSteps: 1000,
        hasTrueReward: true,
        metrics: ["turns", "landed_backflips", "published_return"],
        question: "Which clip is closer to a backflip that lands upright?",
        stepSeconds: 0.008,
        playbackFps: 31.25,
        sceneHash: this.sceneHash,
      },
      iterations: done ? "84" : "0",
      steps: done ? "688128" : "0",
      labels: rich ? String(this.labels.filter(({ purpose }) => purpose === "TRAIN").length) : "0",
      questions: rich ? "655" : "0",
      limit: this.limit,
      metrics: done
        ? {
            true_return: 6214,
            predicted_return: 812.4,
            "reward/accuracy": 0.774,
            "policy/kl": 0.012,
            turns: 11.5,
            landed_backflips: 6.6,
          }
        : {},
      createdMs: String(this.now - 2 * hour),
      startedMs: String(this.now - 2 * hour),
      revision: String(this.revision),
      askingStopped: this.askingStopped,
      bestVersion: this.state === "FINISHED" ? "84" : "0",
    };
  }

  private oldRun(): Json {
    return { ...this.run(), id: "11", state: "FINISHED", limit: "LIMIT_NONE", bestVersion: "141" };
  }

  private dashboard(): Json {
    if (this.kind !== "rich") return { run: this.run(), agreement: {} };
    const progress = [0.5, 0.71, 0.82, 0.77, 0.69, 0.74, 0.6, 0.52, 0.47].map((winRate, i) => ({
      iteration: String(8 + 9 * i),
      steps: String(8192 * (8 + 9 * i)),
      answers: "12",
      winRate,
      low: Math.max(0, winRate - 0.2 + 0.05 * Math.abs(winRate - 0.5)),
      high: Math.min(1, winRate + 0.18),
    }));
    return {
      run: this.run(),
      openQuestions: "14",
      leasedQuestions: "6",
      labelsLastHour: "312",
      activeLabelers: 4,
      agreement: { nominal: 0.71, ordinal: 0.78, questions: "96", answers: "254" },
      progress,
      alerts: this.alerts,
    };
  }

  private iterations(): number[] {
    return this.kind === "empty" ? [] : Array.from({ length: 15 }, (_, i) => 6 * i);
  }

  private labelsAt(iteration: number): string {
    return this.kind === "baseline" ? "0" : String(Math.min(640, Math.round(45 + 8.2 * iteration)));
  }

  private value(name: string, s: number): number {
    switch (name) {
      case "true_return":
        return -420 + 6700 * s ** 1.6 + 260 * Math.sin(17 * s);
      case "predicted_return":
        return -30 + 850 * s ** 1.2 + 20 * Math.sin(11 * s);
      case "turns":
        return 0.2 + 11.8 * s ** 1.4 + 0.4 * Math.sin(13 * s);
      case "landed_backflips":
        return Math.max(0, (7.4 * (s - 0.25)) / 0.75 + 0.5 * Math.sin(9 * s));
      case "published_return":
        return 900 + 5200 * s;
      default:
        return 0.55 + 0.24 * (1 - Math.exp(-4 * s)) + 0.015 * Math.sin(40 * s);
    }
  }

  private metrics(names: string[]): Json[] {
    const points: Json[] = [];
    for (const name of names) {
      if (this.kind === "baseline" && name.startsWith("reward/")) continue;
      const dense = name === "reward/accuracy";
      const last = 84;
      const iterations = dense
        ? Array.from({ length: this.kind === "empty" ? 0 : last }, (_, i) => i + 1)
        : this.iterations();
      for (const iteration of iterations) {
        points.push({
          name,
          iteration: String(iteration),
          steps: String(8192 * iteration),
          labels: this.labelsAt(iteration),
          value: this.value(name, iteration / last),
          atMs: String(this.now),
        });
      }
    }
    return points;
  }

  private evaluations(): Json[] {
    return this.iterations().flatMap((iteration) =>
      Array.from({ length: 10 }, (_, episode) => {
        const wide = 1 + 0.35 * (((episode * 7) % 10) / 10 - 0.5);
        return {
          policyVersion: String(iteration + 1),
          iteration: String(iteration),
          steps: String(8192 * iteration),
          episode,
          trueReturn: this.value("true_return", iteration / 84) * wide,
          metrics: Object.fromEntries(
            ["turns", "landed_backflips", "published_return"].map((name) => [
              name,
              this.value(name, iteration / 84) * wide,
            ]),
          ),
        };
      }),
    );
  }

  private makeLabelers(): void {
    const people: [string, number, number, number | undefined, number, number, number][] = [
      // name, labels, seconds, gold, left, reliability, half interval
      ["ann", 214, 2.9, 0.95, 0.51, 0.93, 0.03],
      ["Ben (night shift)", 178, 3.4, 0.9, 0.47, 0.88, 0.05],
      ["chidi", 121, 4.1, 0.83, 0.55, 0.81, 0.08],
      ["dora", 66, 0.9, 0.38, 0.86, 0.52, 0.12],
      ["<b>eve</b>", 42, 3.0, 0.14, 0.5, 0.12, 0.1],
      ["prolific-5f3a9c", 18, 5.6, undefined, 0.44, 0.8, 0.19],
    ];
    this.labelers = people.map(
      ([name, labels, medianSeconds, goldScore, leftShare, reliability, half], i) => ({
        id: String(i + 2),
        name,
        teacher: false,
        state: name === "dora" ? "LABELER_PAUSED" : "ACTIVE",
        reason: name === "dora" ? "8 answers in a row came faster than a clip takes" : "",
        number: i + 1,
        labels: String(labels),
        medianSeconds,
        ...(goldScore === undefined
          ? {}
          : {
              goldScore,
              goldAnswers: String(21 - 2 * i),
              selfConsistency: 0.94 - 0.06 * i,
              repeats: String(12 - i),
            }),
        leftShare,
        cannotTellShare: 0.02 + 0.01 * i,
        reliability,
        reliabilityLow: reliability - half,
        reliabilityHigh: Math.min(1, reliability + half),
        ...(i < 5 ? { dawidSkene: Math.max(0.1, reliability - 0.02) } : {}),
        lastAnswerMs: String(this.now - [4, 30, 200, 2400, 90, 9000][i]! * 1000),
        activeMs: String(Math.round(labels * medianSeconds * 1000)),
        waitingMs: String(labels * 400),
      }),
    );
    this.labelers.push({
      id: "99",
      name: "oracle",
      teacher: true,
      state: "ACTIVE",
      number: 7,
      labels: "12",
      medianSeconds: 0.1,
      leftShare: 0.5,
      lastAnswerMs: String(this.now - 60_000),
    });
  }

  private makeLabels(): void {
    const purposes = [
      "TRAIN",
      "TRAIN",
      "TRAIN",
      "TRAIN",
      "TRAIN",
      "TRAIN",
      "TRAIN",
      "GOLD",
      "REPEAT",
      "PROGRESS",
    ];
    const choices = ["LEFT", "RIGHT", "LEFT", "RIGHT", "TIE", "LEFT", "RIGHT", "CANNOT_TELL"];
    for (let i = 0; i < 231; ++i) {
      const pick = <T>(from: T[]) => from[Math.floor(this.random() * from.length)]!;
      const purpose = pick(purposes);
      const choice = pick(choices);
      this.labels.push({
        position: String(i + 1),
        labelId: String(1000 + i),
        questionId: String(600 + Math.floor(i / 1.3)),
        purpose,
        clipIds: [hash(i), hash(i + 7)],
        answer: { choice },
        labeler: pick(this.labelers.slice(0, 6)).name,
        answeredMs: String(this.now - (231 - i) * 11_000),
        issuedMs: String(this.now - (231 - i) * 11_000 - 4000),
        timing: {
          decisionMs: 900 + Math.floor(this.random() * 5000),
          activeMs: 900,
          loops: 1 + (i % 3),
          firstPlayedMs: 20,
        },
        client: "web 1",
        surplus: i % 41 === 40,
        selector: "disagreement",
        score: 0.2,
        round: String(Math.floor(i / 8)),
        undoCount: i % 29 === 28 ? 1 : 0,
        turned: i % 2 === 1,
        note: i % 17 === 16 ? "The left one <img src=x onerror=alert(1)> lands on its knee" : "",
        schema: 1,
        ...(purpose === "GOLD" ? { expected: { choice: pick(["LEFT", choice]) } } : {}),
      });
    }
  }

  private listLabels(request: any): Json {
    const limit = Number(request.limit ?? 0) || 50;
    const before = Number(request.beforeLabelId ?? 0) || Infinity;
    const found = [...this.labels]
      .reverse()
      .filter(
        (label) =>
          Number(label.labelId) < before &&
          (!request.labeler || label.labeler === request.labeler) &&
          (!request.purpose ||
            request.purpose === "PURPOSE_UNSPECIFIED" ||
            label.purpose === request.purpose) &&
          (!request.choice ||
            request.choice === "CHOICE_UNSPECIFIED" ||
            label.answer.choice === request.choice) &&
          (!Number(request.questionId ?? 0) || label.questionId === String(request.questionId)) &&
          (!request.withNote || label.note),
      );
    return { labels: found.slice(0, limit), more: found.length > limit };
  }

  private disputed(): Json[] {
    if (this.kind !== "rich") return [];
    const answers: [string, string, string][][] = [
      [
        ["ann", "LEFT", ""],
        ["Ben (night shift)", "RIGHT", "It lands, even if late"],
        ["chidi", "TIE", ""],
      ],
      [
        ["ann", "LEFT", ""],
        ["chidi", "LEFT", ""],
        ["<b>eve</b>", "RIGHT", ""],
        ["Ben (night shift)", "TIE", "both fall <i>over</i>"],
      ],
      [
        ["dora", "RIGHT", ""],
        ["ann", "LEFT", ""],
      ],
      [
        ["<b>eve</b>", "RIGHT", ""],
        ["ann", "LEFT", ""],
        ["chidi", "LEFT", ""],
      ],
    ];
    return answers.map((rows, i) => ({
      questionId: String(610 + i),
      clipIds: [hash(40 + i), hash(60 + i)],
      answers: rows.map(([labeler, choice, note], j) => ({
        labeler,
        answer: { choice },
        answeredMs: String(this.now - (j + 1) * 77_000),
        note,
      })),
      disagreement: [1, 0.95, 0.63, 0.58][i],
    }));
  }

  private clip(id: string): Json {
    if (!this.clipNumbers.has(id)) this.clipNumbers.set(id, this.clipNumbers.size);
    const n = this.clipNumbers.get(id)!;
    return {
      clipId: id,
      policyVersion: "84",
      iteration: String(84 - Math.floor(n / 20)),
      steps: clipSteps,
      poses: {
        bodies: 4,
        poses: hopperPoses(
          clipSteps + 1,
          [1, 0.4, 0.9, 0.15, 1.05, 0.7][n % 6]!,
          [0.7, 0.25, 0.6, 0.05, 0.8, 0.5][n % 6]!,
          (n % 3) * 0.05,
        ),
      },
    };
  }

  private episode(version: number): Json {
    const versions = this.iterations().map((iteration) => iteration + 1);
    if (versions.length === 0) {
      throw new Refusal("not_found", "run 12 has no recorded episode yet");
    }
    const chosen = version || Math.max(...versions);
    if (!versions.includes(chosen))
      throw new Refusal("not_found", `version ${version} was not recorded`);
    const steps = 300;
    const poses: number[] = [];
    for (let i = 0; i < 6; ++i) poses.push(...hopperPoses(50, 1, 0.3 + 0.4 * (chosen / 85)));
    poses.push(...hopperPoses(2, 0, 0).slice(0, 28));
    const learned = this.kind !== "baseline";
    const reward = (t: number) =>
      0.4 + 1.1 * Math.sin((2 * Math.PI * (t % 50)) / 50 - 1) + 0.2 * Math.sin(t * 0.9);
    return {
      policyVersion: String(chosen),
      iteration: String(chosen - 1),
      steps,
      poses: { bodies: 4, poses },
      playbackFps: 31.25,
      sceneHash: this.sceneHash,
      predictedReward: learned ? Array.from({ length: steps }, (_, t) => reward(t)) : [],
      deviation: learned
        ? Array.from({ length: steps }, (_, t) => 0.15 + 0.5 * Math.exp(-(((t - 180) / 25) ** 2)))
        : [],
      recordedVersions: versions.map(String),
    };
  }

  private addGold(request: any, asked: number, answeredRight: number): Json {
    const pair = {
      goldId: String(this.gold.length + 1),
      clipIds: request.clipIds,
      answer: request.answer,
      explanation: request.explanation ?? "",
      use: request.use,
      asked: String(asked),
      answeredRight: String(answeredRight),
    };
    this.gold.push(pair);
    return pair;
  }
}
