-- What a dashboard reads of a run with a hundred thousand labels. Rows of most
-- answers are in none of the partial indexes, and in one page of the other.

CREATE INDEX labels_answered ON labels USING brin (answered_at) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX labels_broken ON labels (run_id, id) WHERE choice = 'BROKEN';
CREATE INDEX labels_surplus ON labels (run_id) WHERE surplus;
CREATE INDEX questions_shared ON questions (run_id) WHERE overlap > 1;
CREATE INDEX questions_progress ON questions (run_id) WHERE purpose = 'PROGRESS';
