-- Waking those who wait: notices on the channel honker, whose payload says what changed.
--
-- The payload is a JSON array of texts: q:<queue>, w:<worker id>, t:<topic>, c:<channel>, r:<job id>, s: (schedules), * (anything).
-- They are sent in the transaction that changes something, and only while somebody listens. The setting honker.wake is for
-- connections that send them by themselves, after the commit, because a NOTIFY takes a lock of the whole database while its
-- transaction commits: with collect they are gathered in the setting honker.woken, which is local to the transaction, and with off nothing
-- is done.

CREATE OR REPLACE FUNCTION _wake(item text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  how text := current_setting('honker.wake', true);
  gathered text;
  quoted text;
BEGIN
  IF how = 'off' THEN
    RETURN;
  ELSIF how = 'collect' THEN
    gathered := current_setting('honker.woken', true);
    quoted := to_json(item)::text;
    IF gathered IS NULL OR gathered = '' THEN
      gathered := quoted;
    ELSIF strpos(gathered, '"*"') > 0 OR strpos(gathered, quoted) > 0 THEN
      RETURN;
    ELSIF length(gathered) > 4000 THEN
      gathered := gathered || ',"*"';
    ELSE
      gathered := gathered || ',' || quoted;
    END IF;
    PERFORM set_config('honker.woken', gathered, true);
  ELSIF EXISTS (SELECT FROM _honker_listeners) THEN
    quoted := to_json(item)::text;
    PERFORM pg_notify('honker', CASE WHEN octet_length(quoted) < 7900 THEN '[' || quoted || ']' ELSE '["*"]' END);
  END IF;
END $$;

-- What has become of a job, for those who gather: n:<how>:<job id>:<queue>. They count it (counters.sql). Enqueues, claims and acks
-- they know themselves.
CREATE OR REPLACE FUNCTION _note(how text, the_id bigint, the_queue text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('honker.wake', true) = 'collect' THEN
    PERFORM set_config('honker.woken', concat_ws(',', nullif(current_setting('honker.woken', true), ''),
      to_json('n:' || how || ':' || the_id || ':' || the_queue)), true);
  END IF;
END $$;

-- Sends a payload if anybody but this process listens, which has told itself already; whether anybody does.
CREATE OR REPLACE FUNCTION _send(payload text, own text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM _honker_listeners l WHERE l.id <> own) THEN
    RETURN false;
  END IF;
  PERFORM pg_notify('honker', CASE WHEN octet_length(payload) < 7900 THEN payload ELSE '["*"]' END);
  RETURN true;
END $$;
