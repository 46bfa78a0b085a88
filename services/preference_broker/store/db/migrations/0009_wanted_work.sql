-- For scalers, such as KEDA's (docs/operating.md): which runs want how much from rollout-workers now. The clips that
-- are wanted are cut from these steps. No row, no work. Its columns stay; others may come.

CREATE VIEW wanted_work AS
  SELECT c.run_id, c.wanted_steps AS steps,
    -- of the workers that serve it; they ask again every ten seconds, and do not sign off
    (SELECT coalesce(sum(a.threads), 0) FROM assignments a WHERE a.run_id = c.run_id AND a.epoch = c.epoch
      AND a.assigned_at > now() - interval '30 seconds') AS threads
  FROM claims c JOIN runs r ON r.id = c.run_id
  WHERE c.role = 'learner' AND c.released_at IS NULL AND c.expires_at > now() AND c.wanted_steps > 0
    AND r.state = 'RUNNING';
