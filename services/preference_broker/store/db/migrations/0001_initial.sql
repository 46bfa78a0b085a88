-- The system of record. Names of states, roles, purposes and choices are those
-- of proto/backflip/v1. Large values are compressed by the broker, or are
-- weights that do not compress: EXTERNAL keeps PostgreSQL from trying again.

CREATE TABLE callers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE CHECK (name <> ''),
  role text NOT NULL CHECK (role IN ('labeler', 'teacher', 'reviewer', 'operator',
                                     'learner', 'trainer', 'worker')),
  created_at timestamptz NOT NULL DEFAULT now()
);

-- A token itself is kept by its owner alone.
CREATE TABLE tokens (
  sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
  caller_id bigint NOT NULL REFERENCES callers,
  created_at timestamptz NOT NULL DEFAULT now(),
  revoked_at timestamptz
);
CREATE INDEX tokens_caller ON tokens (caller_id);

CREATE TABLE bundles (
  sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
  size bigint NOT NULL CHECK (size > 0),
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE bundle_chunks (
  bundle bytea NOT NULL REFERENCES bundles ON DELETE CASCADE,
  index integer NOT NULL CHECK (index >= 0),
  data bytea NOT NULL,
  PRIMARY KEY (bundle, index)
);
ALTER TABLE bundle_chunks ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE runs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  state text NOT NULL DEFAULT 'QUEUED'
    CHECK (state IN ('QUEUED', 'RUNNING', 'PAUSED', 'FINISHED', 'FAILED', 'CANCELLED')),
  reward text NOT NULL CHECK (reward IN ('PREFERENCES', 'TRUE')),
  spec bytea NOT NULL,  -- RunSpec, merged and frozen
  task bytea NOT NULL,  -- TaskInfo
  has_true_reward boolean NOT NULL,
  bundle bytea NOT NULL REFERENCES bundles,
  message text NOT NULL DEFAULT '',
  iterations bigint NOT NULL DEFAULT 0 CHECK (iterations >= 0),
  steps bigint NOT NULL DEFAULT 0 CHECK (steps >= 0),
  -- Counters: `labels` by whoever numbers the feed, `questions` by whoever
  -- opens a round.
  labels bigint NOT NULL DEFAULT 0 CHECK (labels >= 0),
  questions bigint NOT NULL DEFAULT 0 CHECK (questions >= 0),
  best_version bigint,
  revision bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz,
  progress_at timestamptz
);
CREATE INDEX runs_bundle ON runs (bundle);
CREATE INDEX runs_active ON runs (id) WHERE state IN ('QUEUED', 'RUNNING');

-- Calls that made or continued a run, so that a repeated one does it once.
CREATE TABLE run_requests (
  request_id text PRIMARY KEY,
  run_id bigint NOT NULL REFERENCES runs,
  body_sha256 bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX run_requests_run ON run_requests (run_id);

-- The newest claim on each run and role. Its epoch fences the writes of all
-- claims before it.
CREATE TABLE claims (
  run_id bigint NOT NULL REFERENCES runs,
  role text NOT NULL CHECK (role IN ('learner', 'trainer')),
  epoch bigint NOT NULL CHECK (epoch > 0),
  claimant text NOT NULL,
  advertise text NOT NULL DEFAULT '',
  collect_token text NOT NULL DEFAULT '',
  wanted_steps bigint NOT NULL DEFAULT 0 CHECK (wanted_steps >= 0),
  claimed_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  released_at timestamptz,
  PRIMARY KEY (run_id, role)
);
CREATE INDEX claims_claimant ON claims (claimant);

CREATE TABLE assignments (
  worker text PRIMARY KEY,
  run_id bigint NOT NULL REFERENCES runs,
  epoch bigint NOT NULL,
  threads integer NOT NULL CHECK (threads > 0),
  assigned_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX assignments_run ON assignments (run_id);

-- Each part is a zstd-compressed Clip with only its own fields set, so that
-- who may not see a part is never near it.
CREATE TABLE clips (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id bigint NOT NULL REFERENCES runs,
  sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
  iteration bigint NOT NULL CHECK (iteration >= 0),
  ticket integer NOT NULL CHECK (ticket >= 0),
  index integer NOT NULL CHECK (index >= 0),
  behaviour bytea NOT NULL,  -- steps, observations, actions, origin
  picture bytea NOT NULL,    -- what a viewer draws
  physics bytea NOT NULL,    -- integration states
  truth bytea,               -- true rewards: for teachers alone
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (run_id, sha256)
);
ALTER TABLE clips ALTER COLUMN behaviour SET STORAGE EXTERNAL;
ALTER TABLE clips ALTER COLUMN picture SET STORAGE EXTERNAL;
ALTER TABLE clips ALTER COLUMN physics SET STORAGE EXTERNAL;
ALTER TABLE clips ALTER COLUMN truth SET STORAGE EXTERNAL;
CREATE INDEX clips_order ON clips (run_id, iteration, ticket, index, sha256);

-- Kept apart from the questions, so that a round without any is opened once too.
CREATE TABLE rounds (
  run_id bigint NOT NULL REFERENCES runs,
  round bigint NOT NULL CHECK (round >= 0),
  selector text NOT NULL DEFAULT '',
  ensemble_version bigint NOT NULL DEFAULT 0,
  opened_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, round)
);

-- open_slots + leases that hold a slot = overlap, always: whoever changes one
-- side holds the question's row lock.
CREATE TABLE questions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id bigint NOT NULL,
  round bigint NOT NULL,
  ordinal bigint NOT NULL CHECK (ordinal >= 0),
  purpose text NOT NULL
    CHECK (purpose IN ('TRAIN', 'GOLD', 'REPEAT', 'QUALIFICATION', 'PROGRESS')),
  overlap integer NOT NULL CHECK (overlap BETWEEN 1 AND 100),
  open_slots integer NOT NULL,
  score double precision NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  FOREIGN KEY (run_id, round) REFERENCES rounds,
  UNIQUE (run_id, ordinal),
  CHECK (open_slots BETWEEN 0 AND overlap)
);
CREATE INDEX questions_round ON questions (run_id, round);
CREATE INDEX questions_open ON questions (run_id, ordinal) WHERE open_slots > 0;

CREATE TABLE question_clips (
  question_id bigint NOT NULL REFERENCES questions,
  position smallint NOT NULL CHECK (position >= 0),
  clip_id bigint NOT NULL REFERENCES clips,
  PRIMARY KEY (question_id, position),
  UNIQUE (question_id, clip_id)
);
CREATE INDEX question_clips_clip ON question_clips (clip_id);

CREATE TABLE leases (
  id text PRIMARY KEY CHECK (id ~ '^[0-9a-f]{32}$'),
  question_id bigint NOT NULL REFERENCES questions,
  caller_id bigint NOT NULL REFERENCES callers,
  state text NOT NULL DEFAULT 'LIVE' CHECK (state IN ('LIVE', 'EXPIRED', 'ANSWERED')),
  -- Whether it takes one of the question's answers; a late answer that found
  -- all of them taken (a surplus) does not.
  holds_slot boolean NOT NULL DEFAULT true,
  -- Whether the clips are shown in the reverse of the question's order.
  turned boolean NOT NULL,
  lease_ms integer NOT NULL CHECK (lease_ms > 0),
  leased_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  CHECK (state <> 'EXPIRED' OR NOT holds_slot)
);
CREATE UNIQUE INDEX leases_once_per_labeler ON leases (caller_id, question_id)
  WHERE state IN ('LIVE', 'ANSWERED');
CREATE INDEX leases_question ON leases (question_id);
CREATE INDEX leases_caller ON leases (caller_id);
CREATE INDEX leases_live ON leases (expires_at) WHERE state = 'LIVE';

-- Append-only. The labels of a lease form one chain: each after the first
-- supersedes the one before. The last stands, unless it is a retraction.
CREATE TABLE labels (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id bigint NOT NULL REFERENCES runs,
  question_id bigint NOT NULL REFERENCES questions,
  lease_id text NOT NULL REFERENCES leases,
  caller_id bigint NOT NULL REFERENCES callers,
  idempotency_key text NOT NULL CHECK (length(idempotency_key) BETWEEN 16 AND 64),
  body_sha256 bytea NOT NULL,
  supersedes bigint UNIQUE REFERENCES labels,
  retraction boolean NOT NULL,
  choice text CHECK (choice IN ('LEFT', 'RIGHT', 'TIE', 'CANNOT_TELL', 'BROKEN')),
  ranking bytea,
  surplus boolean NOT NULL,
  counts boolean NOT NULL,  -- towards the run's budget
  decision_ms integer NOT NULL DEFAULT 0,
  active_ms integer NOT NULL DEFAULT 0,
  loops integer NOT NULL DEFAULT 0,
  client text NOT NULL DEFAULT '',
  answered_at timestamptz NOT NULL DEFAULT now(),
  -- Place in the run's feed, from 1 without gaps; given after commit.
  position bigint CHECK (position > 0),
  UNIQUE (caller_id, idempotency_key),
  UNIQUE (run_id, position),
  CHECK (CASE WHEN retraction THEN choice IS NULL AND ranking IS NULL AND supersedes IS NOT NULL
              ELSE (choice IS NULL) <> (ranking IS NULL) END),
  CHECK (NOT counts OR NOT (surplus OR retraction))
);
CREATE UNIQUE INDEX labels_one_chain ON labels (lease_id) WHERE supersedes IS NULL;
CREATE INDEX labels_lease ON labels (lease_id);
CREATE INDEX labels_question ON labels (question_id);
CREATE INDEX labels_unnumbered ON labels (run_id, id) WHERE position IS NULL;

CREATE FUNCTION labels_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  unnumbered labels := NEW;
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.position IS NULL THEN
    unnumbered.position := NULL;
    IF unnumbered IS NOT DISTINCT FROM OLD THEN RETURN NEW; END IF;
  END IF;
  RAISE EXCEPTION 'labels are append-only: supersede label % instead', OLD.id;
END $$;
CREATE TRIGGER labels_append_only BEFORE UPDATE OR DELETE ON labels
  FOR EACH ROW EXECUTE FUNCTION labels_are_append_only();

-- The small numbers that stand for labelers within a run.
CREATE TABLE run_labelers (
  run_id bigint NOT NULL REFERENCES runs,
  caller_id bigint NOT NULL REFERENCES callers,
  number integer NOT NULL CHECK (number > 0),
  PRIMARY KEY (run_id, caller_id),
  UNIQUE (run_id, number)
);
CREATE INDEX run_labelers_caller ON run_labelers (caller_id);

CREATE TABLE snapshots (
  run_id bigint NOT NULL REFERENCES runs,
  kind text NOT NULL CHECK (kind IN ('POLICY', 'REWARD')),
  version bigint NOT NULL CHECK (version > 0),
  iteration bigint NOT NULL CHECK (iteration >= 0),
  steps bigint NOT NULL CHECK (steps >= 0),
  labels bigint NOT NULL CHECK (labels >= 0),
  sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
  kept boolean NOT NULL,
  data bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, kind, version)
);
ALTER TABLE snapshots ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX snapshots_iteration ON snapshots (run_id, kind, iteration);

CREATE TABLE checkpoints (
  run_id bigint NOT NULL REFERENCES runs,
  role text NOT NULL CHECK (role IN ('learner', 'trainer')),
  iteration bigint NOT NULL CHECK (iteration >= 0),
  info bytea NOT NULL,  -- CheckpointInfo
  data bytea NOT NULL,
  saved_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, role, iteration)
);
ALTER TABLE checkpoints ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE metric_points (
  run_id bigint NOT NULL REFERENCES runs,
  name text NOT NULL,
  iteration bigint NOT NULL CHECK (iteration >= 0),
  steps bigint NOT NULL,
  labels bigint NOT NULL,
  value double precision NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, name, iteration)
);

CREATE TABLE evaluations (
  run_id bigint NOT NULL REFERENCES runs,
  policy_version bigint NOT NULL,
  final boolean NOT NULL,
  episode integer NOT NULL CHECK (episode >= 0),
  evaluation bytea NOT NULL,  -- Evaluation
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, policy_version, final, episode)
);

CREATE TABLE audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  caller_id bigint REFERENCES callers,
  run_id bigint REFERENCES runs,
  action text NOT NULL,
  detail text NOT NULL DEFAULT ''
);
CREATE INDEX audit_caller ON audit (caller_id);
CREATE INDEX audit_run ON audit (run_id, id);
