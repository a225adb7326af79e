-- Notifications: rows that tell listeners something. What is said of numbers and commits of events holds for them (stream.sql).

CREATE OR REPLACE FUNCTION notify(channel text, payload text) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  id bigint;
BEGIN
  IF channel IS NULL OR payload IS NULL THEN
    PERFORM _not_null('{channel,payload}', '{TEXT,TEXT}', channel IS NULL, payload IS NULL);
  END IF;
  PERFORM _publishing(2);
  INSERT INTO _honker_notifications AS n (channel, payload, created_at) VALUES (channel, payload, _now()) RETURNING n.id INTO id;
  IF id IS NULL THEN
    PERFORM _refused('sent', '_honker_notifications');
  END IF;
  PERFORM _wake('c:' || channel);
  RETURN id;
END $$;

-- Where a listener begins that is not to see what was sent before. One that is sent by a transaction that is open now is seen, and so
-- may be those that were sent after that one had its number.
CREATE OR REPLACE FUNCTION _notifications_latest() RETURNS bigint
LANGUAGE sql AS $$ SELECT _settled_up_to(2) $$;

CREATE OR REPLACE FUNCTION _notifications_read(the_channel text, after bigint, at_most bigint)
RETURNS TABLE (id bigint, channel text, payload text, created_at bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  last bigint;
BEGIN
  PERFORM _check_isolation();
  IF at_most = 0 OR NOT EXISTS (SELECT FROM _honker_notifications n WHERE n.channel = the_channel AND n.id > after) THEN
    IF at_most <> 0 THEN
      PERFORM _move_check();
    END IF;
    RETURN;
  END IF;
  last := _settled_up_to(2);
  RETURN QUERY SELECT n.id, n.channel::text, n.payload, n.created_at FROM _honker_notifications n
    WHERE n.channel = the_channel AND n.id > after AND n.id <= last
    ORDER BY n.id LIMIT CASE WHEN at_most >= 0 THEN at_most END;
END $$;

-- Deletes those that were sent before a second, and those up to an id, each if given, at most 1,000.
CREATE OR REPLACE FUNCTION _prune(sent_before bigint, up_to bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  pruned bigint := 0;
  more bigint;
BEGIN
  -- By rank first: those that are deleted for their age count as well.
  IF up_to IS NOT NULL THEN
    WITH old AS MATERIALIZED (
      SELECT n.id, row_number() OVER (ORDER BY n.id) AS at, sum(octet_length(n.payload)) OVER (ORDER BY n.id) AS bytes
      FROM (SELECT * FROM _honker_notifications n WHERE n.id <= up_to ORDER BY n.id LIMIT 1000) n)
    DELETE FROM _honker_notifications n USING old WHERE n.id = old.id AND (old.at = 1 OR old.bytes <= 8000000);
    GET DIAGNOSTICS pruned = ROW_COUNT;
  END IF;
  IF sent_before IS NOT NULL AND pruned < 1000 THEN
    WITH old AS MATERIALIZED (
      SELECT n.id, row_number() OVER (ORDER BY n.created_at, n.id) AS at,
        sum(octet_length(n.payload)) OVER (ORDER BY n.created_at, n.id) AS bytes
      FROM (SELECT * FROM _honker_notifications n WHERE n.created_at < sent_before ORDER BY n.created_at LIMIT 1000 - pruned) n)
    DELETE FROM _honker_notifications n USING old WHERE n.id = old.id AND (old.at = 1 OR old.bytes <= 8000000);
    GET DIAGNOSTICS more = ROW_COUNT;
    pruned := pruned + more;
  END IF;
  RETURN pruned;
END $$;

-- The last notification that is too many if so many are kept; NULL if none is.
CREATE OR REPLACE FUNCTION _surplus(max_keep bigint) RETURNS bigint
LANGUAGE sql STABLE AS $$
  SELECT n.id FROM _honker_notifications n ORDER BY n.id DESC LIMIT 1 OFFSET max_keep
$$;

CREATE OR REPLACE FUNCTION honker_prune_notifications(older_than_s bigint, max_keep bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
BEGIN
  IF max_keep < 0 THEN
    PERFORM _invalid('max_keep must not be negative');
  END IF;
  RETURN _prune(_before(now, older_than_s), CASE WHEN max_keep IS NOT NULL THEN _surplus(max_keep) END);
END $$;

CREATE OR REPLACE FUNCTION honker_notifications_configure(options_json text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  key text;
  value json;
BEGIN
  PERFORM _not_null('{options_json}', '{TEXT}', options_json IS NULL);
  FOR key, value IN SELECT each.key, each.value FROM json_each(_object('options', options_json)) each LOOP
    IF key <> 'keep_s' THEN
      PERFORM _unknown_key('options', key);
    ELSIF json_typeof(value) = 'null' THEN
      DELETE FROM _honker_settings s WHERE s.name = 'notifications.keep_s';
    ELSE
      INSERT INTO _honker_settings AS s (name, value) VALUES ('notifications.keep_s', _at_least(1, 'options', key, value)::text)
      ON CONFLICT ON CONSTRAINT _honker_settings_pkey DO UPDATE SET value = excluded.value;
    END IF;
  END LOOP;
  RETURN 1;
END $$;
