-- People: invites, checks of their answers, recordings for reviewers, scenes.

CREATE TABLE scenes (
  sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
  glb bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE scenes ALTER COLUMN glb SET STORAGE EXTERNAL;

-- An invite's secret is kept by its owner alone.
CREATE TABLE invites (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  request_id text NOT NULL UNIQUE,
  sha256 bytea NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
  role text NOT NULL CHECK (role IN ('labeler', 'teacher', 'reviewer', 'operator')),
  name text NOT NULL CHECK (name <> ''),
  run_ids bigint[] NOT NULL,  -- empty: all
  is_group boolean NOT NULL,
  cap integer NOT NULL CHECK (cap > 0),  -- labelers it makes
  consent text NOT NULL DEFAULT '',
  price text NOT NULL DEFAULT '',
  completion_code text NOT NULL DEFAULT '',
  answers_wanted bigint NOT NULL DEFAULT 0 CHECK (answers_wanted >= 0),
  minutes_wanted bigint NOT NULL DEFAULT 0 CHECK (minutes_wanted >= 0),
  accepted integer NOT NULL DEFAULT 0 CHECK (accepted BETWEEN 0 AND cap),
  created_by bigint NOT NULL REFERENCES callers,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL
);
CREATE INDEX invites_created_by ON invites (created_by);

ALTER TABLE callers
  ADD COLUMN state text NOT NULL DEFAULT 'ACTIVE' CHECK (state IN ('ACTIVE', 'PAUSED', 'REVOKED')),
  ADD COLUMN reason text NOT NULL DEFAULT '',  -- of a pause or a warning
  ADD COLUMN warned_at timestamptz,
  ADD COLUMN rules_since timestamptz,  -- answers before are no matter of the rules
  ADD COLUMN invite_id bigint REFERENCES invites,
  ADD COLUMN outside_id text,  -- on the platform that pays
  ADD COLUMN run_ids bigint[] NOT NULL DEFAULT '{}',  -- empty: all
  ADD COLUMN seen_at timestamptz,
  ADD COLUMN forgotten_at timestamptz;
CREATE UNIQUE INDEX callers_outside ON callers (invite_id, outside_id);

-- The call that accepted an invite, so that a repeated one gives one token.
ALTER TABLE tokens ADD COLUMN request_id text;
CREATE UNIQUE INDEX tokens_request ON tokens (request_id) WHERE request_id IS NOT NULL;

-- Sessions of work, per labeler and run.
CREATE TABLE labeler_time (
  caller_id bigint NOT NULL REFERENCES callers,
  run_id bigint NOT NULL REFERENCES runs,
  active_ms bigint NOT NULL DEFAULT 0,
  waiting_ms bigint NOT NULL DEFAULT 0,
  -- Since when they have worked without a pause of five minutes.
  working_since timestamptz NOT NULL DEFAULT now(),
  last_at timestamptz NOT NULL DEFAULT now(),
  guide_read boolean NOT NULL DEFAULT false,
  PRIMARY KEY (caller_id, run_id)
);
CREATE INDEX labeler_time_run ON labeler_time (run_id);

-- The same by day (UTC), for statements of a span.
CREATE TABLE labeler_days (
  caller_id bigint NOT NULL REFERENCES callers,
  run_id bigint NOT NULL REFERENCES runs,
  day date NOT NULL,
  active_ms bigint NOT NULL,
  waiting_ms bigint NOT NULL,
  PRIMARY KEY (caller_id, run_id, day)
);
CREATE INDEX labeler_days_run ON labeler_days (run_id);
CREATE FUNCTION count_labeler_day() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO labeler_days AS d (caller_id, run_id, day, active_ms, waiting_ms)
    VALUES (NEW.caller_id, NEW.run_id, (now() AT TIME ZONE 'UTC')::date,
            NEW.active_ms - coalesce(OLD.active_ms, 0), NEW.waiting_ms - coalesce(OLD.waiting_ms, 0))
    ON CONFLICT (caller_id, run_id, day) DO UPDATE
    SET active_ms = d.active_ms + excluded.active_ms, waiting_ms = d.waiting_ms + excluded.waiting_ms;
  RETURN NULL;
END $$;
CREATE TRIGGER labeler_time_by_day AFTER INSERT OR UPDATE OF active_ms, waiting_ms ON labeler_time
  FOR EACH ROW EXECUTE FUNCTION count_labeler_day();

ALTER TABLE runs
  ADD COLUMN asking_stopped boolean NOT NULL DEFAULT false,
  ADD COLUMN forked_from_run bigint REFERENCES runs,
  ADD COLUMN forked_from_version bigint;
CREATE INDEX runs_forked_from ON runs (forked_from_run) WHERE forked_from_run IS NOT NULL;

-- Pairs with a known answer.
CREATE TABLE gold_pairs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id bigint NOT NULL REFERENCES runs,
  first_clip bigint NOT NULL REFERENCES clips,
  second_clip bigint NOT NULL REFERENCES clips,
  answer text NOT NULL CHECK (answer IN ('LEFT', 'RIGHT', 'TIE')),  -- LEFT: the first
  explanation text NOT NULL DEFAULT '',
  use text NOT NULL CHECK (use IN ('CHECK', 'QUALIFY', 'SHOW')),
  removed_at timestamptz,
  created_by bigint REFERENCES callers,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (run_id, first_clip, second_clip, use),
  CHECK (first_clip <> second_clip)
);
CREATE INDEX gold_pairs_first ON gold_pairs (first_clip);
CREATE INDEX gold_pairs_second ON gold_pairs (second_clip);
CREATE INDEX gold_pairs_created_by ON gold_pairs (created_by);

-- Questions of purpose GOLD, QUALIFICATION and REPEAT are made for one labeler
-- when they lease them: they belong to no round and have no ordinal. TRAIN
-- questions that no trainer opened (a person asked them, or they came with
-- their labels from elsewhere) have an ordinal and no round, so that no round
-- of a trainer can be taken by them; the label feed says round -1.
ALTER TABLE questions
  ALTER COLUMN round DROP NOT NULL,
  ALTER COLUMN ordinal DROP NOT NULL,
  ADD COLUMN gold_id bigint REFERENCES gold_pairs,
  ADD COLUMN repeat_of bigint REFERENCES questions,
  ADD COLUMN selector text NOT NULL DEFAULT '',  -- who chose it, where no round says
  -- Set for those made for one labeler: nobody else is asked them.
  ADD COLUMN made_for bigint REFERENCES callers,
  -- How many: more than 2 are to be put in order.
  ADD COLUMN clips smallint NOT NULL DEFAULT 2 CHECK (clips BETWEEN 2 AND 8),
  ADD CONSTRAINT questions_known CHECK ((gold_id IS NOT NULL) = (purpose IN ('GOLD', 'QUALIFICATION'))),
  ADD CONSTRAINT questions_repeated CHECK ((repeat_of IS NOT NULL) = (purpose = 'REPEAT')),
  ADD CONSTRAINT questions_made
    CHECK ((made_for IS NOT NULL) = (purpose IN ('GOLD', 'QUALIFICATION', 'REPEAT'))),
  ADD CONSTRAINT questions_in_rounds
    CHECK ((round IS NULL AND ordinal IS NULL) OR purpose IN ('TRAIN', 'PROGRESS'));
CREATE INDEX questions_gold ON questions (gold_id) WHERE gold_id IS NOT NULL;
CREATE INDEX questions_repeat ON questions (repeat_of) WHERE repeat_of IS NOT NULL;
CREATE INDEX questions_made_for ON questions (made_for, run_id) WHERE made_for IS NOT NULL;
DROP INDEX questions_open;
CREATE INDEX questions_open ON questions (run_id, ordinal) WHERE open_slots > 0 AND made_for IS NULL;

-- Of an answer that was given elsewhere and imported or copied: nobody's work here.
ALTER TABLE leases ADD COLUMN copied boolean NOT NULL DEFAULT false;
CREATE INDEX leases_held ON leases (caller_id) WHERE state = 'LIVE';

ALTER TABLE labels
  ADD COLUMN first_played_ms integer NOT NULL DEFAULT 0,
  ADD COLUMN note text NOT NULL DEFAULT '',
  -- Of an imported label: what makes it known.
  ADD COLUMN source_key text;
CREATE INDEX labels_caller ON labels (caller_id, id);
CREATE UNIQUE INDEX labels_source ON labels (run_id, source_key) WHERE source_key IS NOT NULL;

-- A choice on the other sides: as shown to the question's own order, and back.
CREATE FUNCTION turned_choice(choice text, turned boolean) RETURNS text LANGUAGE sql IMMUTABLE
  AS $$ SELECT CASE WHEN turned AND choice = 'LEFT' THEN 'RIGHT' WHEN turned AND choice = 'RIGHT' THEN 'LEFT'
                    ELSE choice END $$;

-- Clips that came with labels from elsewhere, or were cut for a question: a
-- trainer does not choose among them.
ALTER TABLE clips ADD COLUMN candidate boolean NOT NULL DEFAULT true;

CREATE TABLE labeler_reliability (
  run_id bigint NOT NULL,
  number integer NOT NULL,
  mean double precision NOT NULL,
  low double precision NOT NULL,
  high double precision NOT NULL,
  labels bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, number),
  FOREIGN KEY (run_id, number) REFERENCES run_labelers (run_id, number)
);

-- Evaluation episodes to watch; parts as those of clips.
CREATE TABLE recordings (
  run_id bigint NOT NULL REFERENCES runs,
  policy_version bigint NOT NULL,
  iteration bigint NOT NULL,
  steps integer NOT NULL CHECK (steps > 0),
  behaviour bytea NOT NULL,
  picture bytea NOT NULL,
  physics bytea NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, policy_version)
);
ALTER TABLE recordings ALTER COLUMN behaviour SET STORAGE EXTERNAL;
ALTER TABLE recordings ALTER COLUMN picture SET STORAGE EXTERNAL;
ALTER TABLE recordings ALTER COLUMN physics SET STORAGE EXTERNAL;

-- Calls of operators that change many things, so that a repeated one does it once.
CREATE TABLE operator_requests (
  request_id text PRIMARY KEY,
  caller_id bigint NOT NULL REFERENCES callers,
  body_sha256 bytea NOT NULL,
  response bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX operator_requests_caller ON operator_requests (caller_id);

-- Answers as they stand: not taken back, and not replaced by another.
CREATE VIEW standing_labels AS
  SELECT l.* FROM labels l
  WHERE NOT l.retraction AND NOT EXISTS (SELECT FROM labels n WHERE n.supersedes = l.id);
