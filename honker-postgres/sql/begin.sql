-- honker on Postgres: schema honker, tables and functions. Plain SQL and plpgsql, no extension, Postgres 13 and later.
--
-- Run it in one transaction (psql -1 -f honker.sql), as often as you like: it installs what is missing and brings an older
-- schema up to date, and two that run at the same time wait for each other. Nothing is migrated backwards: if the database is
-- of a newer version, it fails with HK003 and changes nothing. docs/postgres.md says how to use it.
--
-- Names that begin with _ are ours; the functions honker_* and notify are yours, and docs/sql.md says what they do.
--
-- Errors that are honker's own have an SQLSTATE of a class of theirs:
--
--   HK001  an argument cannot be used; the message names it
--   HK002  the call cannot be made here and now (a claim in an isolation level other than READ COMMITTED)
--   HK003  the schema is of a newer version than this text
--   HK004  too large
--
-- Everything else is as Postgres says it: 23xxx and P0001 if a constraint or a trigger of yours refuses a change, 40001 and
-- 40P01 (try again), 55P03 (a lock that was not to be had in time), 57014 (cancelled), 25006 (read only), and so on.

-- All our advisory locks have numbers from 0x686b000000000000 on; this one is that of the installation.
SELECT pg_catalog.pg_advisory_xact_lock(7524107602452545536);
SELECT pg_catalog.set_config('honker.installing', 'on', true),
  pg_catalog.set_config('honker.search_path_before', pg_catalog.current_setting('search_path'), true),
  pg_catalog.set_config('honker.messages_before', pg_catalog.current_setting('client_min_messages'), true);
-- Nobody else's functions are called on the way. Both are back as they were at the end (finish.sql).
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;

DO $$
DECLARE
  newest CONSTANT bigint := 1;
  found bigint;
BEGIN
  IF current_setting('honker.installing', true) IS DISTINCT FROM 'on' THEN
    RAISE EXCEPTION 'honker.sql has to run in one transaction: psql -1 -f honker.sql' USING ERRCODE = 'HK002';
  END IF;
  IF current_setting('server_version_num')::int < 130000 THEN
    RAISE EXCEPTION 'honker needs Postgres 13 or newer' USING ERRCODE = '0A000';
  END IF;
  IF to_regclass('honker._honker_schema') IS NOT NULL THEN
    EXECUTE 'SELECT max(version) FROM honker._honker_schema' INTO found;
    IF found > newest THEN
      RAISE EXCEPTION 'the schema honker is of version %, newer than this text, which is of version %', found, newest
        USING ERRCODE = 'HK003';
    END IF;
  END IF;
END $$;

CREATE SCHEMA IF NOT EXISTS honker;
-- Whoever owns a schema may put into it what is run with the rights of those who install here.
DO $$
BEGIN
  IF (SELECT pg_catalog.pg_get_userbyid(n.nspowner) FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) 'honker')
    OPERATOR(pg_catalog.<>) current_user
  THEN
    RAISE EXCEPTION 'the schema honker belongs to another role: only its owner may install honker in it' USING ERRCODE = '42501';
  END IF;
END $$;
SET LOCAL search_path = honker, pg_temp;
