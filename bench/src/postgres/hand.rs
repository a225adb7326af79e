//! The same row work by hand.

use postgres::{Client, NoTls, Statement};

use crate::throughput::{Outcome, PAYLOAD, expect};

/// What whoever writes a queue by hand knows: when it is, and that plans go by indexes.
const SQL_SETTINGS: &str =
    "SET enable_seqscan = off; SET enable_bitmapscan = off; SET plan_cache_mode = force_generic_plan";

const SQL_TABLE: &str = "
    CREATE SCHEMA IF NOT EXISTS hand;
    DROP TABLE IF EXISTS hand.live;
    CREATE TABLE hand.live (
      LIKE honker._honker_live INCLUDING DEFAULTS INCLUDING IDENTITY INCLUDING STORAGE INCLUDING INDEXES
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
      autovacuum_vacuum_cost_delay = 0);
    ALTER TABLE hand.live ALTER run_at SET DEFAULT floor(date_part('epoch', clock_timestamp())),
      ALTER created_at SET DEFAULT floor(date_part('epoch', clock_timestamp()))";

const SQL_ENQUEUE: &str = "INSERT INTO hand.live (queue, payload) VALUES ('q', $1) RETURNING id";

const SQL_ENQUEUE_MANY: &str =
    "INSERT INTO hand.live (queue, payload) SELECT 'q', p FROM unnest($1::text[]) p RETURNING id";

const SQL_CLAIM: &str = "
    WITH picked AS MATERIALIZED (
      SELECT id FROM hand.live
      WHERE state = 'pending' AND queue = 'q' AND attempts < max_attempts AND run_at <= created_at
        AND run_at <= floor(date_part('epoch', clock_timestamp()))::bigint
        AND (expires_at IS NULL OR expires_at > floor(date_part('epoch', clock_timestamp()))::bigint)
      ORDER BY priority DESC, run_at, id LIMIT $1 FOR UPDATE SKIP LOCKED)
    UPDATE hand.live l SET state = 'processing', worker_id = 'w', attempts = attempts + 1,
      claim_expires_at = floor(date_part('epoch', clock_timestamp()))::bigint + 300
    FROM picked WHERE l.id = picked.id
    RETURNING l.id, l.queue, l.payload, l.attempts, l.claim_expires_at, l.max_attempts, l.run_at";

const SQL_ACK: &str = "DELETE FROM hand.live WHERE id = $1 AND worker_id = 'w'
      AND claim_expires_at >= floor(date_part('epoch', clock_timestamp()))::bigint";

const SQL_ACK_MANY: &str = "DELETE FROM hand.live WHERE id = ANY ($1) AND worker_id = 'w'
      AND claim_expires_at >= floor(date_part('epoch', clock_timestamp()))::bigint";

pub struct Hand {
    client: Client,
    enqueue: Statement,
    enqueue_many: Statement,
    claim: Statement,
    ack: Statement,
    ack_many: Statement,
}

impl Hand {
    /// On a server that has honker's tables.
    pub fn new(url: &str) -> Outcome<Self> {
        let mut client = Client::connect(url, NoTls)?;
        client.batch_execute(SQL_TABLE)?;
        client.batch_execute(SQL_SETTINGS)?;
        let mut prepare = |sql| client.prepare(sql);
        Ok(Hand {
            enqueue: prepare(SQL_ENQUEUE)?,
            enqueue_many: prepare(SQL_ENQUEUE_MANY)?,
            claim: prepare(SQL_CLAIM)?,
            ack: prepare(SQL_ACK)?,
            ack_many: prepare(SQL_ACK_MANY)?,
            client,
        })
    }

    pub fn enqueue(&mut self, payload: &str) -> Outcome<()> {
        let _: i64 = self.client.query_one(&self.enqueue, &[&payload])?.get(0);
        Ok(())
    }

    pub fn enqueue_many(&mut self, payloads: &[&str]) -> Outcome<()> {
        let rows = self.client.query(&self.enqueue_many, &[&payloads])?;
        expect(rows.len() as i64, payloads.len() as i64)
    }

    pub fn fill(&mut self, count: usize) -> Outcome<()> {
        self.enqueue_many(&vec![PAYLOAD; count])
    }

    pub fn claim(&mut self, n: usize) -> Outcome<Vec<i64>> {
        let rows = self.client.query(&self.claim, &[&(n as i64)])?;
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let _: Vec<String> = rows.iter().map(|row| row.get(2)).collect();
        expect(ids.len() as i64, n as i64)?;
        Ok(ids)
    }

    pub fn ack(&mut self, ids: &[i64]) -> Outcome<()> {
        let acked = match ids {
            [id] => self.client.execute(&self.ack, &[id])?,
            ids => self.client.execute(&self.ack_many, &[&ids])?,
        };
        expect(acked as i64, ids.len() as i64)
    }

    /// Claims so many and acks them, in a statement each.
    pub fn work(&mut self, n: usize) -> Outcome<()> {
        let ids = self.claim(n)?;
        self.ack(&ids)
    }

    /// So that the rows of one measurement are not in the way of the next: both tables.
    pub fn empty(&mut self) -> Outcome<()> {
        self.client.batch_execute("TRUNCATE hand.live, honker._honker_live")?;
        self.client.batch_execute("VACUUM ANALYZE hand.live")?;
        Ok(self.client.batch_execute("VACUUM ANALYZE honker._honker_live")?)
    }
}
