-- What the page and the program's commands have to show beside the orders: some of everything, in the copy of the file.
SELECT honker_queue_configure('thumbnails', '{"keep_done_s": 86400, "concurrency_per_key": 1}');
SELECT honker_queue_configure('newsletter', '{"paused": true, "rate": {"limit": 100, "per_s": 60}}');

-- Done, with a result; dead of two errors; one that a worker holds; and one that waits for it.
WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 12)
SELECT count(honker_enqueue_with('thumbnails', json_object('image', n),
  json_object('metadata', json_object('tenant', iif(n % 3, 'acme', 'globex'))))) FROM n;
SELECT honker_claim_batch('thumbnails', 'worker-3', 11, 3600) IS NOT NULL;
WITH held AS MATERIALIZED (SELECT id FROM _honker_live WHERE worker_id = 'worker-3' ORDER BY id LIMIT 6)
SELECT count(honker_result_save(id, '{"bytes": 48213}', 86400) + honker_ack(id, 'worker-3')) FROM held;
WITH held AS MATERIALIZED (SELECT id, payload FROM _honker_live WHERE worker_id = 'worker-3' ORDER BY id LIMIT 3)
SELECT count(honker_fail(id, 'worker-3', 'image ' || (payload ->> 'image') || ': cannot decode after ' || id || ' ms')) FROM held;
WITH held AS MATERIALIZED (SELECT id FROM _honker_live WHERE worker_id = 'worker-3' ORDER BY id LIMIT 1)
SELECT honker_fail(id, 'worker-3', 'no such file') FROM held;

-- To come: due, later, and as often as a schedule says.
WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 40)
SELECT count(honker_enqueue('newsletter', json_object('to', 'reader-' || n || '@example.com'), NULL, NULL, 0, 5, NULL)) FROM n;
SELECT honker_enqueue_with('reports', '{"month": "2026-11"}', '{"delay_s": 7200, "unique_key": "report 2026-11"}');
SELECT honker_scheduler_register_with('nightly report', 'reports', 'CRON_TZ=Europe/Berlin 0 3 * * 1-5', '{}', '{"overlap": "skip"}');

-- A stream with a consumer that is behind, a notification, a lock and a rate limit.
WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 20)
SELECT count(honker_stream_publish('shipments', NULL, json_object('parcel', n))) FROM n;
SELECT honker_stream_save_offset('billing', 'shipments', (SELECT max(offset) - 5 FROM _honker_stream));
SELECT notify('deploys', '{"version": 7}');
SELECT honker_lock_acquire('stocktaking', 'worker-3', 3600);
SELECT honker_rate_limit_try('sms', 100, 60);
