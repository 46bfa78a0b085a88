-- Groups whose places come back, invites that are withdrawn, and ids that are no passwords.

ALTER TABLE invites
  ADD COLUMN redirect_url text NOT NULL DEFAULT '',
  ADD COLUMN withdrawn_at timestamptz;

ALTER TABLE callers
  -- Of a group: since when they have one of its places, which invites.accepted counts; NULL: none.
  ADD COLUMN place_since timestamptz,
  -- Their outside id lets them in once more without the token that they have.
  ADD COLUMN may_return boolean NOT NULL DEFAULT false,
  -- Key of the hash that stands for their outside id in the audit; erased when they are forgotten.
  ADD COLUMN outside_key text;
UPDATE callers c SET place_since = c.created_at FROM invites i
  WHERE i.id = c.invite_id AND i.is_group;
CREATE INDEX callers_places ON callers (invite_id, place_since) WHERE place_since IS NOT NULL;

-- Whether a labeler has answered more than practice.
CREATE FUNCTION has_answered(labeler bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM labels l JOIN questions q ON q.id = l.question_id
                 WHERE l.caller_id = labeler AND q.purpose <> 'QUALIFICATION') $$;

-- Whether a labeler's place in a group is theirs, rather than the next one's who comes.
CREATE FUNCTION keeps_place(labeler bigint, since timestamptz) RETURNS boolean LANGUAGE sql STABLE
  AS $$ SELECT since > now() - interval '1 hour' OR has_answered(labeler) $$;

CREATE VIEW invite_states AS
  SELECT i.id, i.role, i.name, i.run_ids, i.is_group, i.cap,
    extract(epoch FROM i.created_at) AS created, extract(epoch FROM i.expires_at) AS expires,
    extract(epoch FROM i.withdrawn_at) AS withdrawn,
    CASE WHEN i.is_group THEN (SELECT count(*) FROM callers c
      WHERE c.invite_id = i.id AND c.place_since IS NOT NULL AND keeps_place(c.id, c.place_since))
      ELSE i.accepted END AS taken,
    (SELECT count(*) FROM callers c WHERE c.invite_id = i.id AND has_answered(c.id)) AS answered
  FROM invites i;
