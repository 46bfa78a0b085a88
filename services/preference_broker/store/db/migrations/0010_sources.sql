-- Where clips come from and what snapshots were learned from: for `backflip trace`.

ALTER TABLE clips ADD COLUMN worker text NOT NULL DEFAULT '';  -- the name of who stored it

-- A row stays when its snapshot is dropped.
CREATE TABLE snapshot_sources (
  run_id bigint NOT NULL REFERENCES runs,
  kind text NOT NULL CHECK (kind IN ('POLICY', 'REWARD')),
  version bigint NOT NULL CHECK (version > 0),
  iteration bigint NOT NULL,
  label_position bigint CHECK (label_position >= 0),  -- the newest label of the feed
  reward_version bigint CHECK (reward_version > 0),
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, kind, version),
  CHECK ((label_position IS NOT NULL) = (kind = 'REWARD')),
  CHECK ((reward_version IS NOT NULL) = (kind = 'POLICY'))
);
