//! The scheduler: rows of `_honker_scheduler_tasks`, each of which enqueues its payload at every boundary of its
//! schedule expression. The scheduler only enqueues; workers on the target queues do the work.

mod calendar;
mod expression;
mod last_fire;
mod lead;
mod options;
mod registry;
mod tick;

pub use expression::Expression;
pub(crate) use lead::leadership_here;
pub use lead::{LEADER_LOCK, Leadership, lead, leadership};
pub use options::{Overlap, check_single};
pub(crate) use options::{ScheduleOptions, uses_options};
pub use registry::{
    Registration, Schedule, Update, list, pause, register, resume, soonest, unregister, update,
};
pub(crate) use tick::tick_into;
pub use tick::{Fire, FireStatus, Refused, Ticked, tick};
