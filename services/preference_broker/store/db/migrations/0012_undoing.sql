-- What an operator did, operators alone undo.

-- Of the step that a person's state, or a known pair's, comes from.
ALTER TABLE callers ADD COLUMN paused_by_operator boolean NOT NULL DEFAULT false;
ALTER TABLE gold_pairs ADD COLUMN set_by_operator boolean NOT NULL DEFAULT false;

UPDATE callers c SET paused_by_operator = true
  WHERE c.state = 'PAUSED' AND EXISTS (SELECT FROM audit a JOIN callers o ON o.id = a.caller_id
    WHERE o.role = 'operator' AND a.action = 'set labeler state'
      AND starts_with(a.detail, 'labeler ' || c.id || ' LABELER_PAUSED:'));
UPDATE gold_pairs g SET set_by_operator = true
  WHERE CASE WHEN g.removed_at IS NULL
    THEN EXISTS (SELECT FROM callers c WHERE c.id = g.created_by AND c.role = 'operator')
    ELSE EXISTS (SELECT FROM audit a JOIN callers c ON c.id = a.caller_id
      WHERE c.role = 'operator' AND a.run_id = g.run_id AND a.action = 'remove gold'
        AND a.detail = g.id::text) END;
