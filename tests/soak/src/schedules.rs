//! What actors do with schedules.
//!
//! "steady" is never paused, so that every one of its boundaries has to be fired; "halting" is paused and resumed, and
//! each actor has one of its own that comes and goes.

use honker_library::{NO_TIME, Place, status};

use crate::actor::Actor;
use crate::ledger::Effect;

pub const STEADY: &str = "steady";
const HALTING: &str = "halting";
const EXPRESSION: &str = "@every 1s";

/// Registers what all actors share.
pub fn register(place: Place) -> honker_library::Answer<()> {
    for name in [STEADY, HALTING] {
        place.scheduler_register(name, "fired", EXPRESSION, name, 3)?;
    }
    Ok(())
}

impl Actor {
    pub fn tick(&mut self, place: Place) {
        let fire = |name: &str| Effect::Fired(name.to_owned(), 0, 0);
        let done = |fires: &Vec<honker_library::Fire>| {
            fires.iter().map(|fire| Effect::Fired(fire.name.clone(), fire.fire_at, fire.job_id)).collect()
        };
        let tick = || place.scheduler_tick(NO_TIME);
        let _ = self.book("scheduler_tick", &[status::EMPTY], &[fire(STEADY)], tick, done);
    }

    pub fn schedule(&mut self, place: Place) {
        let own = format!("own-{}", self.name);
        // One that dies would leave its schedule behind.
        if self.number >= crate::peers::FIRST || self.chance(2) {
            let answer = register(place);
            let _ = self.call("scheduler_register", &[], answer);
        } else if self.scheduled {
            let answer = place.scheduler_unregister(&own);
            let _ = self.call("scheduler_unregister", &[status::EMPTY], answer);
            self.scheduled = false;
        } else {
            let answer = place.scheduler_register(&own, "fired", EXPRESSION, &own, 2);
            let _ = self.call("scheduler_register", &[], answer);
            self.scheduled = true;
        }
        let update = place.scheduler_update(STEADY, self.random.i64(-1..2));
        let _ = self.call("scheduler_update", &[status::EMPTY], update);
    }

    pub fn pause(&mut self, place: Place) {
        if self.chance(2) {
            let _ = self.call("scheduler_pause", &[status::EMPTY], place.scheduler_pause(HALTING));
        } else {
            let _ = self.call("scheduler_resume", &[status::EMPTY], place.scheduler_resume(HALTING));
        }
    }

    pub fn soonest(&mut self, place: Place) {
        let _ = self.call("scheduler_soonest", &[status::EMPTY], place.scheduler_soonest());
        let _ = self.call("scheduler_list", &[], place.scheduler_list());
    }
}
