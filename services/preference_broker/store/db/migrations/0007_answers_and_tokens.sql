-- What an operator took back stays back, and what a token may do ends.

-- Takes no answer any more: an operator took back the one that it had.
ALTER TABLE leases ADD COLUMN closed boolean NOT NULL DEFAULT false;
UPDATE leases SET closed = true WHERE id IN
  (SELECT lease_id FROM labels WHERE idempotency_key LIKE 'retracted-by-operator-%');

-- An operator's retractions have no key: those are the labelers' own, who choose them.
ALTER TABLE labels
  ALTER COLUMN idempotency_key DROP NOT NULL,
  ADD COLUMN retracted_by bigint REFERENCES callers,
  ADD CONSTRAINT labels_key CHECK ((idempotency_key IS NULL) = (retracted_by IS NOT NULL)),
  ADD CONSTRAINT labels_retracted_by CHECK (retracted_by IS NULL OR retraction);
CREATE INDEX labels_retracted_by ON labels (retracted_by) WHERE retracted_by IS NOT NULL;

ALTER TABLE tokens
  ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  ADD COLUMN origin text NOT NULL DEFAULT '',  -- empty: the caller's invite
  ADD COLUMN expires_at timestamptz,
  ADD COLUMN last_used_at timestamptz;  -- to a minute

-- The runs that a caller's workers were assigned to: what they may write to.
CREATE TABLE served_runs (
  caller_id bigint NOT NULL REFERENCES callers,
  run_id bigint NOT NULL REFERENCES runs,
  assigned_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (caller_id, run_id)
);
CREATE INDEX served_runs_run ON served_runs (run_id);
