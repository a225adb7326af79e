//! Schedules, and who leads them.

use std::time::Duration;

use honker_core::Error;
use honker_core::consume::{Leader, Next};
use honker_core::queue::Enqueue;
use honker_core::schedule::{LEADER_LOCK, Overlap, Registration, Update};

use crate::support::{LONG, Server, claim};

fn every_second(name: &str) -> Registration<'_> {
    Registration { name, expression: "@every 1s", job: Enqueue::new("q", "p"), overlap: Overlap::Allow }
}

#[test]
fn schedules_are_registered_changed_and_removed() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let job = Enqueue {
        priority: 3,
        max_attempts: Some(2),
        metadata: Some("{\"a\":\"b\"}"),
        ..Enqueue::new("q", "p")
    };
    let daily = Registration { name: "daily", expression: "0 3 * * *", job, overlap: Overlap::Skip };
    database.scheduler_register(&daily).unwrap();
    let list = database.scheduler_list().unwrap();
    let schedule = &list[0];
    assert_eq!((&*schedule.name, &*schedule.cron_expr, schedule.priority), ("daily", "0 3 * * *", 3));
    assert_eq!((schedule.enabled, schedule.overlap, &schedule.error), (true, Overlap::Skip, &None));
    assert_eq!(database.scheduler_soonest().unwrap(), Some(schedule.next_fire_at));
    assert!(matches!(
        database.scheduler_register(&Registration { expression: "nonsense", ..daily }),
        Err(Error::Invalid(_))
    ));
    assert!(database.scheduler_pause("daily").unwrap());
    assert!(!database.scheduler_pause("daily").unwrap());
    assert_eq!(database.scheduler_soonest().unwrap(), None);
    assert!(database.scheduler_resume("daily").unwrap());
    let changes = Update { expression: Some("@every 1h"), priority: Some(9), ..Update::default() };
    assert!(database.scheduler_update("daily", &changes).unwrap());
    assert!(!database.scheduler_update("nobody", &changes).unwrap());
    assert_eq!(database.scheduler_list().unwrap()[0].priority, 9);
    assert_eq!(database.scheduler_unregister("daily").unwrap(), 1);
    assert_eq!(database.scheduler_unregister("daily").unwrap(), 0);
}

#[test]
fn every_boundary_is_fired_once() {
    let Some(server) = Server::new() else { return };
    let (one, other) = (server.open(), server.open());
    one.scheduler_register(&every_second("tick")).unwrap();
    let start = one.scheduler_list().unwrap()[0].next_fire_at;
    let until = start + 9;
    let mut fires = Vec::new();
    std::thread::scope(|scope| {
        let ticks: Vec<_> = [&one, &other]
            .map(|database| scope.spawn(move || database.scheduler_tick(Some(until)).unwrap()))
            .into();
        fires = ticks.into_iter().flat_map(|tick| tick.join().unwrap()).collect();
    });
    fires.sort_by_key(|fire| fire.fire_at);
    assert_eq!(
        fires.iter().map(|fire| fire.fire_at).collect::<Vec<_>>(),
        (start..=until).collect::<Vec<_>>()
    );
    assert_eq!(claim(&one, "q", "w", 100).len(), 10);
    // What was missed beyond 64 is skipped.
    assert_eq!(one.scheduler_tick(Some(until + 1000)).unwrap().len(), 64);
    assert_eq!(one.scheduler_soonest().unwrap(), Some(until + 1001));
}

#[test]
fn one_leads_and_another_takes_over() {
    let Some(server) = Server::new() else { return };
    let (one, other) = (server.open(), server.open());
    one.scheduler_register(&every_second("tick")).unwrap();
    let mut leader = Leader::new(&one, "one").unwrap();
    assert!(matches!(leader.next(LONG).unwrap(), Next::Item(fires) if !fires.is_empty()));
    assert!(leader.leads());
    let mut stand_by = Leader::new(&other, "two").unwrap();
    assert_eq!(stand_by.next(Some(Duration::from_millis(1500))).unwrap(), Next::Timeout);
    assert_eq!(one.lock_holder(LEADER_LOCK).unwrap().unwrap().owner, "one");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| stand_by.next(LONG).unwrap());
        std::thread::sleep(Duration::from_millis(200));
        // It gives the lead up when it is dropped.
        drop(leader);
        assert!(matches!(waiting.join().unwrap(), Next::Item(_)));
    });
    assert_eq!(one.lock_holder(LEADER_LOCK).unwrap().unwrap().owner, "two");
}

#[test]
fn a_schedule_that_cannot_be_read_stops_no_other() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    database.scheduler_register(&every_second("good")).unwrap();
    database.scheduler_register(&every_second("bad")).unwrap();
    server
        .client()
        .batch_execute("UPDATE honker._honker_scheduler_tasks SET cron_expr = 'nonsense', next_fire_at = 0 WHERE name = 'bad'")
        .unwrap();
    let list = database.scheduler_list().unwrap();
    assert!(list.iter().any(|schedule| schedule.name == "bad" && schedule.error.is_some()));
    let mut leader = Leader::new(&database, "one").unwrap();
    for _ in 0..2 {
        let Next::Item(fires) = leader.next(LONG).unwrap() else { panic!("nothing is fired") };
        assert!(fires.iter().all(|fire| fire.name == "good"));
    }
}
