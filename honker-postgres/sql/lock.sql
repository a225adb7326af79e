-- Named locks with an owner and a time to live, and rate limits over fixed windows.

CREATE OR REPLACE FUNCTION _acquire(now bigint, the_name text, the_owner text, ttl_s bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  taken record;
BEGIN
  -- Who finds it taken writes nothing, and waits for nobody, unless it may be free.
  SELECT l.owner, l.expires_at INTO taken FROM _honker_locks l WHERE l.name = the_name;
  IF FOUND AND taken.expires_at > now THEN
    PERFORM _after(now, 'ttl_s', ttl_s);
    RETURN taken.owner = the_owner;
  END IF;
  -- Whoever has it may release it between the two; so often that only a trigger can be why.
  FOR round IN 1 .. 100 LOOP
    INSERT INTO _honker_locks AS l (name, owner, expires_at) VALUES (the_name, the_owner, _after(now, 'ttl_s', ttl_s))
    ON CONFLICT ON CONSTRAINT _honker_locks_pkey DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at
    WHERE l.expires_at <= now;
    IF FOUND THEN
      RETURN true;
    END IF;
    SELECT l.owner, l.expires_at INTO taken FROM _honker_locks l WHERE l.name = the_name;
    IF FOUND AND taken.expires_at > now THEN
      RETURN taken.owner = the_owner;
    END IF;
  END LOOP;
  PERFORM _refused('locked', '_honker_locks');
END $$;

CREATE OR REPLACE FUNCTION honker_lock_acquire(name text, owner text, ttl_s bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM _not_null('{name,owner,ttl_s}', '{TEXT,TEXT,INTEGER}', name IS NULL, owner IS NULL, ttl_s IS NULL);
  RETURN _acquire(_now(), name, owner, ttl_s)::int;
END $$;

CREATE OR REPLACE FUNCTION _renew(now bigint, the_name text, the_owner text, ttl_s bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE _honker_locks l SET expires_at = _after(now, 'ttl_s', ttl_s) WHERE l.name = the_name AND l.owner = the_owner;
  IF NOT FOUND AND EXISTS (SELECT FROM _honker_locks l WHERE l.name = the_name AND l.owner = the_owner) THEN
    PERFORM _refused('renewed', '_honker_locks');
  END IF;
  RETURN FOUND;
END $$;

CREATE OR REPLACE FUNCTION honker_lock_renew(name text, owner text, ttl_s bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
BEGIN
  PERFORM _not_null('{name,owner,ttl_s}', '{TEXT,TEXT,INTEGER}', name IS NULL, owner IS NULL, ttl_s IS NULL);
  IF ttl_s <= 0 THEN
    PERFORM _invalid('ttl_s must be positive');
  END IF;
  PERFORM _after(now, 'ttl_s', ttl_s);
  RETURN _renew(now, name, owner, ttl_s)::int;
END $$;

CREATE OR REPLACE FUNCTION honker_lock_release(name text, owner text) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
  PERFORM _not_null('{name,owner}', '{TEXT,TEXT}', name IS NULL, owner IS NULL);
  DELETE FROM _honker_locks l WHERE l.name = name AND l.owner = owner;
  IF NOT FOUND THEN
    IF EXISTS (SELECT FROM _honker_locks l WHERE l.name = name AND l.owner = owner) THEN
      PERFORM _refused('released', '_honker_locks');
    END IF;
    RETURN 0;
  END IF;
  IF name = 'honker-scheduler' THEN
    PERFORM _wake('s:');
  END IF;
  RETURN 1;
END $$;

CREATE OR REPLACE FUNCTION _lock_holder(the_name text) RETURNS TABLE (owner text, expires_at bigint)
LANGUAGE sql AS $$ SELECT l.owner::text, l.expires_at FROM _honker_locks l WHERE l.name = the_name $$;

CREATE OR REPLACE FUNCTION honker_rate_limit_try(name text, "limit" bigint, per bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  window_start bigint;
BEGIN
  PERFORM _not_null('{name,limit,per}', '{TEXT,INTEGER,INTEGER}', name IS NULL, "limit" IS NULL, per IS NULL);
  IF "limit" <= 0 OR per <= 0 THEN
    PERFORM _invalid('limit and per must be positive');
  END IF;
  window_start := _window_start(_now(), per);
  -- Who comes too late writes nothing, and waits for nobody.
  IF EXISTS (SELECT FROM _honker_rate_limits r WHERE r.name = name AND r.window_start = window_start AND r.count >= "limit") THEN
    RETURN 0;
  END IF;
  INSERT INTO _honker_rate_limits AS r (name, window_start, count) VALUES (name, window_start, 1)
  ON CONFLICT ON CONSTRAINT _honker_rate_limits_pkey DO UPDATE SET count = r.count + 1 WHERE r.count < "limit";
  IF NOT FOUND AND NOT EXISTS (SELECT FROM _honker_rate_limits r WHERE r.name = name AND r.window_start = window_start AND r.count >= "limit") THEN
    PERFORM _refused('counted', '_honker_rate_limits');
  END IF;
  RETURN FOUND::int;
END $$;

CREATE OR REPLACE FUNCTION honker_rate_limit_sweep(older_than_s bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  swept bigint;
BEGIN
  PERFORM _not_null('{older_than_s}', '{INTEGER}', older_than_s IS NULL);
  WITH old AS MATERIALIZED (
    SELECT r.name, r.window_start FROM _honker_rate_limits r
    WHERE r.window_start < _before(_now(), older_than_s) ORDER BY r.window_start LIMIT 1000 FOR UPDATE SKIP LOCKED)
  DELETE FROM _honker_rate_limits r USING old WHERE r.name = old.name AND r.window_start = old.window_start;
  GET DIAGNOSTICS swept = ROW_COUNT;
  RETURN swept;
END $$;
