-- How much of the waiting came after the labeler's newest answer, which it is
-- told by: that is bounded.
ALTER TABLE labeler_time
  ADD COLUMN waited_ms bigint NOT NULL DEFAULT 0,
  ADD COLUMN waited_after bigint NOT NULL DEFAULT 0;  -- labels.id; 0: before the first
