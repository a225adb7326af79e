-- The clock: the server's, in whole seconds since the Unix epoch. A call reads it once.
--
-- A plain INSERT calls it, with the search path of whoever inserts. Tests replace this function by one whose time they set (test_clock.sql).
CREATE OR REPLACE FUNCTION _now() RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()))::bigint
$$;

-- What is in the way of claims is looked for by each connection until, in this second, there was nothing: it is rare, and all but time
-- puts it there rarely. Lapsed claims are among it: the look reads all that is in flight in the queue, since no index has the time
-- at which a claim ends, so that prolonging it changes none.
CREATE OR REPLACE FUNCTION _looks_closely(the_queue text, now bigint) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
  SELECT current_setting('honker.clear_' || (hashtext(the_queue) & 15), true) IS DISTINCT FROM now || ' ' || the_queue
$$;

CREATE OR REPLACE FUNCTION _is_clear(the_queue text, now bigint) RETURNS text
LANGUAGE sql VOLATILE AS $$
  SELECT set_config('honker.clear_' || (hashtext(the_queue) & 15), now || ' ' || the_queue, false)
$$;
