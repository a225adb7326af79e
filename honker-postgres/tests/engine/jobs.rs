//! Jobs and what they go through.

use honker_core::Error;
use honker_core::queue::{
    Delay, Enqueue, EnqueueStatus, Held, Lost, OnConflict, Outcome, Requeued, Settlement, Turn, Unique,
    UniqueUntil,
};

use crate::support::{Server, claim, count, enqueue};

#[test]
fn a_job_is_enqueued_claimed_and_done() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let id = enqueue(&database, "emails", "{\"to\":\"ä\"}");
    let job = database.get_job(id).unwrap().unwrap();
    assert_eq!((&*job.queue, &*job.payload, &*job.state), ("emails", "{\"to\":\"ä\"}", "pending"));
    let jobs = claim(&database, "emails", "w", 10);
    assert_eq!(jobs.len(), 1);
    assert_eq!((jobs[0].id, jobs[0].attempts, &*jobs[0].worker_id), (id, 1, "w"));
    assert!(!database.ack(id, "other").unwrap());
    assert!(database.heartbeat(id, "w", 600).unwrap());
    assert!(database.ack(id, "w").unwrap());
    assert!(!database.ack(id, "w").unwrap());
    assert_eq!(database.get_job(id).unwrap(), None);
    database.close().unwrap();
    assert_eq!(database.get_job(id), Err(Error::Closed));
}

#[test]
fn options_travel_and_come_back() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let unique = Unique { key: "k", until: UniqueUntil::Settled, for_s: None, on_conflict: OnConflict::Keep };
    let job = Enqueue {
        priority: 5,
        max_attempts: Some(7),
        metadata: Some(r#"{"a":"b"}"#),
        unique: Some(unique),
        concurrency_key: Some("c"),
        max_run_s: Some(9),
        ..Enqueue::new("q", "p")
    };
    let first = database.enqueue(&job).unwrap();
    assert_eq!(first.status, EnqueueStatus::Enqueued);
    let second = database.enqueue(&job).unwrap();
    assert_eq!((second.id, second.status), (first.id, EnqueueStatus::Exists));
    let replacing = Enqueue {
        payload: "new",
        unique: Some(Unique { on_conflict: OnConflict::Replace, ..unique }),
        ..job
    };
    let third = database.enqueue(&replacing).unwrap();
    assert_eq!((third.id, third.status), (first.id, EnqueueStatus::Replaced));
    let jobs = claim(&database, "q", "w", 1);
    assert_eq!((&*jobs[0].payload, jobs[0].max_attempts, jobs[0].max_run_s), ("new", 7, Some(9)));
    assert_eq!(jobs[0].metadata.as_deref(), Some(r#"{"a":"b"}"#));
    let wrong = database.enqueue(&Enqueue { metadata: Some("[]"), ..Enqueue::new("q", "p") });
    assert!(matches!(wrong, Err(Error::Invalid(_))), "{wrong:?}");
    let wrong = database.enqueue(&Enqueue::new("q", "a\0b"));
    assert!(matches!(wrong, Err(Error::Invalid(_))), "{wrong:?}");
}

#[test]
fn many_are_enqueued_in_their_order() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let payloads: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let jobs: Vec<_> = payloads.iter().map(|payload| Enqueue::new("q", payload)).collect();
    let enqueued = database.enqueue_many(&jobs).unwrap();
    assert_eq!(enqueued.len(), 100);
    assert!(enqueued.windows(2).all(|pair| pair[0].id < pair[1].id));
    assert_eq!(database.enqueue_many(&[]).unwrap(), []);
    let claimed = claim(&database, "q", "w", 100);
    assert_eq!(claimed.iter().map(|job| &*job.payload).collect::<Vec<_>>(), payloads);
    let ids: Vec<i64> = claimed.iter().map(|job| job.id).collect();
    assert_eq!(database.ack_batch(&ids, "w").unwrap(), 100);
}

#[test]
fn jobs_fail_and_come_back() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let id = enqueue(&database, "q", "p");
    claim(&database, "q", "w", 1);
    assert!(database.retry(id, "w", 0, "again").unwrap());
    assert_eq!(claim(&database, "q", "w", 1)[0].attempts, 2);
    assert!(database.release(id, "w", 0).unwrap());
    assert_eq!(claim(&database, "q", "w", 1)[0].attempts, 2);
    assert!(database.fail(id, "w", "for good").unwrap());
    let dead = database.dead_list(Some("q"), 10).unwrap();
    assert_eq!((dead[0].id, dead[0].last_error.as_deref()), (id, Some("for good")));
    assert_eq!(database.dead_groups(None).unwrap()[0].count, 1);
    assert_eq!(database.dead_requeue(id).unwrap(), Requeued::Requeued);
    assert_eq!(database.dead_requeue(id).unwrap(), Requeued::NotFound);
    assert!(database.cancel(id).unwrap());
    assert!(!database.cancel(id).unwrap());
    let born_expired = database.enqueue(&Enqueue { expires_s: Some(0), ..Enqueue::new("q", "p") }).unwrap();
    assert_eq!(database.sweep_expired("q").unwrap(), 1);
    assert_eq!(database.dead_list(None, -1).unwrap()[0].id, born_expired.id);
    assert_eq!(database.dead_purge(None, -1).unwrap(), 1);
}

#[test]
fn a_turn_settles_prolongs_and_claims() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    for n in 0..5 {
        enqueue(&database, "q", &n.to_string());
    }
    let jobs = claim(&database, "q", "w", 4);
    let ids: Vec<i64> = jobs.iter().map(|job| job.id).collect();
    database.cancel(ids[3]).unwrap();
    let retry = Outcome::Retry { delay: Delay::UnlessSet(60), error: "e".to_owned() };
    let turned = database
        .turn(&Turn {
            worker_id: "w",
            timeout_s: 300,
            settlements: &[
                Settlement { id: ids[0], outcome: Outcome::Ack },
                Settlement { id: ids[1], outcome: retry },
                Settlement { id: 999_999, outcome: Outcome::Ack },
            ],
            held: &[Held { id: ids[2], attempts: 1 }, Held { id: ids[3], attempts: 1 }],
            prolong: true,
            queues: &[("q", 10)],
            frees: &[Some(0), Some(0), None],
            n: 10,
        })
        .unwrap();
    assert_eq!(turned.settled, [Ok(true), Ok(true), Ok(false)]);
    assert_eq!(turned.lost, [None, Some(Lost::Gone)]);
    assert_eq!(turned.claimed.iter().map(|job| &*job.payload).collect::<Vec<_>>(), ["4"]);
    assert_eq!(turned.refused, None);
    let outlook = database.work_outlook("w", &[Held { id: ids[2], attempts: 1 }], &["q"]).unwrap();
    assert!(!outlook.may_claim);
    assert_eq!(outlook.lost, [None]);
    assert!(outlook.next_at.is_some(), "the retry is due some time");
}

#[test]
fn a_turn_that_only_claims_takes_as_many_as_there_is_room_for() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    for n in 0..6 {
        enqueue(&database, "q", &n.to_string());
    }
    let turn = |limit: i64, n: i64| {
        let none = Turn {
            worker_id: "w",
            timeout_s: 300,
            settlements: &[],
            held: &[],
            prolong: true,
            queues: &[("q", limit)],
            frees: &[],
            n,
        };
        let turned = database.turn(&none).unwrap();
        assert_eq!((turned.refused, turned.more), (None, false));
        turned.claimed.iter().map(|job| job.payload.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(turn(0, 5), [""; 0]);
    assert_eq!(turn(5, 0), [""; 0]);
    assert_eq!(turn(-1, 5), [""; 0]);
    assert_eq!(turn(1, 5), ["0"]);
    assert_eq!(turn(5, 2), ["1", "2"]);
    assert_eq!(turn(5, 5), ["3", "4", "5"]);
    server.client().batch_execute("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON honker._honker_live FOR EACH ROW WHEN (NEW.payload = 'x') EXECUTE FUNCTION refuse()").unwrap();
    enqueue(&database, "q", "x");
    enqueue(&database, "q", "y");
    // In this second it has been looked already whether anybody may refuse.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(turn(5, 5), ["y"]);
}

#[test]
fn a_settlement_that_is_refused_is_refused_alone() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let (first, second) = (enqueue(&database, "q", "keep"), enqueue(&database, "q", "go"));
    claim(&database, "q", "w", 2);
    server
        .client()
        .batch_execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN IF OLD.payload = 'keep' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN OLD; END $$;
             CREATE TRIGGER refuse BEFORE DELETE ON honker._honker_live FOR EACH ROW EXECUTE FUNCTION refuse();",
        )
        .unwrap();
    let settle = |id| Settlement { id, outcome: Outcome::Ack };
    let turned = database
        .turn(&Turn {
            worker_id: "w",
            timeout_s: 300,
            settlements: &[settle(first), settle(second)],
            held: &[],
            prolong: false,
            queues: &[],
            frees: &[None, None],
            n: 0,
        })
        .unwrap();
    assert!(
        matches!(&turned.settled[0], Err(Error::Constraint(cause)) if cause.message.contains("not this one"))
    );
    assert_eq!(turned.settled[1], Ok(true));
    assert_eq!(count(&database, "honker._honker_live"), 1);
}

#[test]
fn queues_are_looked_at_and_set() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    enqueue(&database, "q", "p");
    assert_eq!(database.queue_stats("q").unwrap().pending, 1);
    assert_eq!(database.queue_stats_all().unwrap().len(), 1);
    database
        .queue_configure("q", r#"{"paused":true,"rate":{"limit":5,"per_s":60},"retry":{"base_s":3}}"#)
        .unwrap();
    let settings = database.queue_settings("q").unwrap();
    assert!(settings.paused);
    assert_eq!(settings.retry.unwrap().base_s, 3);
    assert_eq!(database.queues().unwrap()[0].settings, settings);
    assert_eq!(claim(&database, "q", "w", 1), []);
    assert_eq!(database.queue_next_claim_at("q").unwrap(), None);
    let wrong = database.queue_configure("q", r#"{"pause":true}"#);
    assert!(matches!(&wrong, Err(Error::Invalid(message)) if message.contains("pause")), "{wrong:?}");
    database.queue_configure("q", r#"{"paused":null}"#).unwrap();
    let list = database.jobs_list(r#"{"queue":"q"}"#).unwrap();
    assert_eq!((list.jobs.len(), &*list.jobs[0].state), (1, "due"));
    assert_eq!(database.jobs_apply(r#"{"queue":"q"}"#, "cancel").unwrap().changed, 1);
    let metrics = database.metrics().unwrap();
    assert!(metrics.queues.iter().all(|queue| queue.depth.due == 0), "{metrics:?}");
}
