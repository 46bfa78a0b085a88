-- Labels and the audit lose rows only where these functions delete them.

CREATE OR REPLACE FUNCTION labels_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  unnumbered labels := NEW;
BEGIN
  IF TG_OP = 'DELETE' AND current_setting('backflip.deleting', true) = 'on' THEN RETURN OLD; END IF;
  IF TG_OP = 'UPDATE' AND OLD.position IS NULL THEN
    unnumbered.position := NULL;
    IF unnumbered IS NOT DISTINCT FROM OLD THEN RETURN NEW; END IF;
  END IF;
  RAISE EXCEPTION 'labels are append-only: supersede label % instead', OLD.id;
END $$;

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND current_setting('backflip.deleting', true) = 'on' THEN RETURN OLD; END IF;
  RAISE EXCEPTION 'the audit is append-only';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit
  FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();

CREATE FUNCTION is_never_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER labels_never_truncated BEFORE TRUNCATE ON labels
  FOR EACH STATEMENT EXECUTE FUNCTION is_never_truncated();
CREATE TRIGGER audit_never_truncated BEFORE TRUNCATE ON audit
  FOR EACH STATEMENT EXECUTE FUNCTION is_never_truncated();

-- What was done with a run is known after it is deleted.
ALTER TABLE audit DROP CONSTRAINT audit_run_id_fkey;

-- Deletes a run and every row that belongs to it. SECURITY DEFINER: whoever may call it need not
-- be allowed to delete labels otherwise.
CREATE FUNCTION delete_run(doomed bigint) RETURNS void LANGUAGE plpgsql
  SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  owned record;
BEGIN
  -- not by a SET of the function, which is for superusers where PostgreSQL knows no such parameter
  PERFORM set_config('backflip.deleting', 'on', true);
  DELETE FROM labeler_reliability WHERE run_id = doomed;
  DELETE FROM labels WHERE run_id = doomed;
  DELETE FROM leases l USING questions q WHERE q.id = l.question_id AND q.run_id = doomed;
  DELETE FROM question_clips p USING questions q WHERE q.id = p.question_id AND q.run_id = doomed;
  DELETE FROM questions WHERE run_id = doomed;
  DELETE FROM gold_pairs WHERE run_id = doomed;
  -- all else that names a run
  FOR owned IN SELECT c.conrelid::regclass AS name, a.attname AS key FROM pg_constraint c
      JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
      WHERE c.contype = 'f' AND c.confrelid = 'runs'::regclass AND c.conrelid <> c.confrelid LOOP
    EXECUTE format('DELETE FROM %s WHERE %I = $1', owned.name, owned.key) USING doomed;
  END LOOP;
  DELETE FROM runs WHERE id = doomed;
  PERFORM set_config('backflip.deleting', 'off', true);
END $$;

-- How many entries of the audit from before `until` it has deleted.
CREATE FUNCTION delete_audit(until timestamptz) RETURNS bigint LANGUAGE plpgsql
  SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  deleted bigint;
BEGIN
  PERFORM set_config('backflip.deleting', 'on', true);
  DELETE FROM audit WHERE at < until;
  GET DIAGNOSTICS deleted = ROW_COUNT;
  PERFORM set_config('backflip.deleting', 'off', true);
  RETURN deleted;
END $$;
