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
