-- For tests, after honker.sql: the time is that of the setting honker.now, else that of the row of _test_clock, else the server's.
CREATE TABLE IF NOT EXISTS honker._test_clock (at bigint);

CREATE OR REPLACE FUNCTION honker._now() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER AS $$
  SELECT coalesce(nullif(current_setting('honker.now', true), '')::bigint, (SELECT max(at) FROM honker._test_clock),
    floor(date_part('epoch', clock_timestamp()))::bigint)
$$;

-- Time stands still, and what is in the way of a claim is there by what tests do.
CREATE OR REPLACE FUNCTION honker._looks_closely(the_queue text, now bigint) RETURNS boolean
LANGUAGE sql AS $$ SELECT true $$;

-- So the quick way of a claim (claim.sql) is looked into each time as well, instead of once in a second.
CREATE OR REPLACE FUNCTION honker._may_take_first(now bigint, the_queue text, the_n bigint) RETURNS boolean
LANGUAGE sql AS $$
  SELECT the_n = 1 AND current_setting('transaction_isolation') = 'read committed'
    AND NOT EXISTS (SELECT FROM honker._honker_live l WHERE l.queue = the_queue AND (l.state = 'pending' AND l.attempts >= l.max_attempts
      OR l.state = 'processing' AND l.claim_expires_at < now OR l.expires_at <= now))
    AND NOT EXISTS (SELECT FROM honker._honker_blocked b WHERE b.queue = the_queue)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = 'honker._honker_live'::regclass AND NOT t.tgisinternal
      AND t.tgname <> '_honker_wake')
$$;
