-- Workers that join by a token which is good once.

-- Opens nothing but WorkerService.Join.
ALTER TABLE tokens ADD COLUMN joins boolean NOT NULL DEFAULT false;

-- Those that calls may carry: neither revoked nor expired, of callers who were not signed off.
CREATE VIEW accepted_tokens AS
  SELECT k.id, k.caller_id FROM tokens k JOIN callers c ON c.id = k.caller_id
  WHERE k.revoked_at IS NULL AND NOT k.joins AND c.state <> 'REVOKED'
    AND (k.expires_at IS NULL OR k.expires_at > now());

-- Links of operators and reviewers gave tokens that only their browsers forgot.
UPDATE tokens k SET expires_at = now() + interval '12 hours' FROM callers c
  WHERE c.id = k.caller_id AND c.role IN ('operator', 'reviewer') AND c.invite_id IS NOT NULL
    AND k.origin = '' AND k.expires_at IS NULL AND k.revoked_at IS NULL;
