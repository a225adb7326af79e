//! Everything that is no job: notifications, streams, batches, steps, results, locks, rate limits, maintenance.

use honker_core::Error;
use honker_core::queue::Enqueue;
use honker_core::stream::Trim;

use crate::support::{Server, claim, enqueue};

#[test]
fn notifications_are_read_and_pruned() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let before = database.notifications_latest().unwrap();
    let first = database.notify("c", "1").unwrap();
    let second = database.notify("c", "2").unwrap();
    database.notify("other", "3").unwrap();
    assert!(before < first && first < second);
    let read = database.notifications_read_since("c", before, -1).unwrap();
    assert_eq!(
        read.iter().map(|it| (it.id, &*it.payload)).collect::<Vec<_>>(),
        [(first, "1"), (second, "2")]
    );
    assert_eq!(database.notifications_read_since("c", first, 1).unwrap().len(), 1);
    database.notifications_configure(r#"{"keep_s":60}"#).unwrap();
    assert_eq!(database.notifications_prune(None, Some(1)).unwrap(), 2);
}

#[test]
fn streams_are_published_read_and_trimmed() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let first = database.stream_publish("t", Some("k"), "1").unwrap();
    let second = database.stream_publish("t", None, "2").unwrap();
    assert!(0 < first && first < second);
    let events = database.stream_read_since("t", 0, -1).unwrap();
    assert_eq!(
        events.iter().map(|it| (it.offset, it.key.as_deref())).collect::<Vec<_>>(),
        [(first, Some("k")), (second, None)]
    );
    assert!(database.stream_save_offset("me", "t", first).unwrap());
    assert!(!database.stream_save_offset("me", "t", first).unwrap());
    assert_eq!(database.stream_get_offset("me", "t").unwrap(), first);
    assert_eq!(database.stream_get_offset("you", "t").unwrap(), 0);
    database.stream_configure("t", r#"{"keep_n":1}"#).unwrap();
    assert_eq!(database.stream_trim("t", &Trim::default()).unwrap(), 1);
}

#[test]
fn a_batch_calls_back_when_its_jobs_are_done() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let batch = database.batch_create(r#"{"on_finished":{"queue":"done","payload":"yes"}}"#).unwrap();
    let job = Enqueue { batch_id: Some(batch), ..Enqueue::new("q", "p") };
    let id = database.enqueue(&job).unwrap().id;
    assert!(database.batch_seal(batch).unwrap());
    assert!(!database.batch_seal(batch).unwrap());
    assert!(matches!(database.enqueue(&job), Err(Error::Invalid(_))));
    claim(&database, "q", "w", 1);
    assert!(database.ack(id, "w").unwrap());
    let found = database.batch_get(batch).unwrap().unwrap();
    assert_eq!((found.total, found.done, found.pending), (1, 1, 0));
    assert_eq!(&*claim(&database, "done", "w", 1)[0].payload, "yes");
    assert_eq!(database.batch_get(batch + 100).unwrap(), None);
}

#[test]
fn steps_and_results_are_kept() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let id = enqueue(&database, "q", "p");
    claim(&database, "q", "w", 1);
    assert_eq!(database.step_get(id, "a").unwrap(), None);
    assert_eq!(database.step_save(id, "w", "a", "1").unwrap().as_deref(), Some("1"));
    assert_eq!(database.step_save(id, "w", "a", "2").unwrap().as_deref(), Some("1"));
    assert_eq!(database.step_save(id, "other", "b", "2").unwrap(), None);
    assert_eq!(database.step_get(id, "a").unwrap().as_deref(), Some("1"));
    assert_eq!(database.result_get(id).unwrap(), None);
    database.result_save(id, "value", 0).unwrap();
    assert_eq!(database.result_get(id).unwrap().as_deref(), Some("value"));
    assert_eq!(database.result_sweep().unwrap(), 0);
}

#[test]
fn locks_and_rates_are_limited() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    assert!(database.lock_acquire("l", "a", 60).unwrap());
    assert!(!database.lock_acquire("l", "b", 60).unwrap());
    assert!(database.lock_renew("l", "a", 90).unwrap());
    assert_eq!(database.lock_holder("l").unwrap().unwrap().owner, "a");
    assert!(database.lock_release("l", "a").unwrap());
    assert_eq!(database.lock_holder("l").unwrap(), None);
    assert!(database.rate_limit_try("r", 1, 3600).unwrap());
    assert!(!database.rate_limit_try("r", 1, 3600).unwrap());
    assert_eq!(database.rate_limit_sweep(-7200).unwrap(), 1);
}

#[test]
fn maintenance_makes_its_round() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    database.queue_configure("q", r#"{"keep_done_s":1}"#).unwrap();
    assert!(database.maintenance_is_due().unwrap());
    let mut run = database.maintenance_begin().unwrap().unwrap();
    assert_eq!(database.maintenance_begin().unwrap(), None);
    for _ in 0..1000 {
        if run.is_over() {
            return;
        }
        let found = database.maintenance_look(run).unwrap();
        run = match run.after(&found) {
            Some(next) => next,
            None => database.maintenance_step(run, &found).unwrap(),
        };
    }
    panic!("it does not end: {run:?}");
}
