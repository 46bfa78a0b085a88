// What the page shows, with numbers as numbers and unset fields as undefined.
// client.ts makes it from the messages of backflip.v1.
import type { Answer, Choice } from "../common/answers";
import type { Poses } from "../viewer/scene";

export type Purpose = "TRAIN" | "GOLD" | "REPEAT" | "QUALIFICATION" | "PROGRESS";
export type GoldUse = "CHECK" | "QUALIFY" | "SHOW";
export type GoldAnswer = "LEFT" | "TIE" | "RIGHT";
export type LabelerState = "ACTIVE" | "LABELER_PAUSED" | "REVOKED";
export type RunState = "QUEUED" | "RUNNING" | "PAUSED" | "FINISHED" | "FAILED" | "CANCELLED";
export type Limit = "NONE" | "LEARNER" | "TRAINER" | "WORKERS" | "LABELS";

export interface Run {
  id: number;
  state: RunState;
  task: string;
  question: string;
  metricNames: string[];
  hasTrueReward: boolean;
  playbackFps: number;
  sceneHash: string;
  learned: boolean;
  seed: number;
  message: string;
  iterations: number;
  steps: number;
  stepBudget: number;
  labels: number;
  labelBudget: number;
  limit: Limit;
  bestVersion: number;
  metrics: Map<string, number>;
  revision: number;
  askingStopped: boolean;
  forkedFromRun: number;
  forkedFromVersion: number;
}

export interface Agreement {
  nominal?: number;
  ordinal?: number;
  questions: number;
  answers: number;
}

export interface ProgressPoint {
  iteration: number;
  steps: number;
  answers: number;
  winRate: number;
  low: number;
  high: number;
}

export interface Dashboard {
  run: Run;
  openQuestions: number;
  leasedQuestions: number;
  labelsLastHour: number;
  activeLabelers: number;
  agreement: Agreement;
  progress: ProgressPoint[];
  alerts: string[];
}

export interface MetricPoint {
  name: string;
  iteration: number;
  steps: number;
  labels: number;
  value: number;
}

export interface Evaluation {
  policyVersion: number;
  iteration: number;
  trueReturn?: number;
  metrics: Map<string, number>;
  final: boolean;
}

export interface Labeler {
  id: number;
  name: string;
  teacher: boolean;
  state: LabelerState;
  reason: string;
  labels: number;
  medianSeconds: number;
  goldScore?: number;
  goldAnswers: number;
  selfConsistency?: number;
  repeats: number;
  leftShare?: number;
  cannotTellShare?: number;
  reliability?: number;
  reliabilityLow?: number;
  reliabilityHigh?: number;
  dawidSkene?: number;
  lastAnswerMs: number;
}

export interface DrawnClip {
  clipId: string;
  iteration: number;
  poses: Poses;
}

export interface Episode {
  policyVersion: number;
  steps: number;
  poses: Poses;
  playbackFps: number;
  sceneHash: string;
  predictedReward: Float32Array;
  deviation: Float32Array;
  recordedVersions: number[];
}

export interface DisputedQuestion {
  questionId: number;
  clipIds: string[];
  answers: { labeler: string; answer: Answer; answeredMs: number; note: string }[];
  disagreement: number;
}

export interface Label {
  labelId: number;
  questionId: number;
  purpose: Purpose;
  clipIds: string[];
  answer: Answer;
  expected?: Answer;
  labeler: string;
  answeredMs: number;
  decisionMs: number;
  activeMs: number;
  loops: number;
  client: string;
  surplus: boolean;
  selector: string;
  round: number;
  undoCount: number;
  turned: boolean;
  note: string;
}

export interface LabelFilter {
  labeler: string;
  purpose?: Purpose;
  choice?: Choice;
  questionId: number;
  withNote: boolean;
  superseded: boolean;
  beforeLabelId: number;
}

export interface GoldPair {
  goldId: number;
  clipIds: string[];
  answer: GoldAnswer;
  explanation: string;
  use: GoldUse;
  asked: number;
  answeredRight: number;
}
