-- Claims and workers that came to nothing are counted, until the run goes on.

ALTER TABLE claims ADD COLUMN attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0);

CREATE TABLE worker_failures (
  run_id bigint NOT NULL REFERENCES runs ON DELETE CASCADE,
  worker text NOT NULL,
  times integer NOT NULL DEFAULT 1 CHECK (times > 0),
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, worker)
);
