-- With which flags the programs of a run were started.

CREATE TABLE run_configs (
  run_id bigint NOT NULL REFERENCES runs,
  caller_id bigint REFERENCES callers,  -- null: the broker itself
  config text NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX ON run_configs (run_id, coalesce(caller_id, 0), md5(config));
CREATE INDEX ON run_configs (caller_id);
