//! The job queue: rows of `_honker_live` that are enqueued, claimed, and then acked, retried or failed; rows of
//! `_honker_dead` that ended otherwise.
//!
//! One file per thing that happens to a job. The rules they all keep: a row is in exactly one of the two tables; a claim
//! belongs to its worker through the second `claim_expires_at`, to anybody from the next second on; and every job leaves the
//! live table through `leave.rs`.

mod backoff;
mod blocked;
mod bulk;
mod claim;
mod clear;
pub(crate) mod conditions;
mod dead;
mod dead_groups;
mod dead_letter;
mod done;
mod enqueue;
mod inspect;
mod job_options;
mod leave;
mod limits;
pub(crate) mod options;
mod prospect;
mod refusal;
mod replace;
#[cfg(feature = "runtime")]
mod rescue;
mod settings;
mod settle;
mod sweep;
mod unique;
pub(crate) mod upkeep;
mod walk;
mod work;

pub use backoff::Backoff;
#[cfg(feature = "runtime")]
pub(crate) use backoff::DELAY_MAX_S;
pub(crate) use blocked::LookInVain;
pub use bulk::{Applied, JobList, ListedJob, jobs_apply, jobs_list};
#[cfg(feature = "runtime")]
pub(crate) use bulk::{apply_to, choose};
pub(crate) use claim::claim_into;
pub use claim::{Claim, Claimed, ClaimedJob, claim, claim_some, name_and_instance};
pub use dead::{DeadJob, Requeued, dead_list, dead_purge, dead_requeue};
pub use dead_groups::{DeadGroup, dead_groups, error_pattern};
pub(crate) use enqueue::{ANSWER_BYTES, check, enqueue_at, enqueue_malformed};
pub use enqueue::{Enqueue, EnqueueStatus, Enqueued, Member, enqueue, enqueue_many};
pub(crate) use inspect::depths;
pub use inspect::{Depth, Job, QueueStats, get_job, may_claim, next_claim_at, stats, stats_all};
#[cfg(feature = "runtime")]
pub use job_options::options_text;
pub(crate) use job_options::{JobOptions, to_json};
pub(crate) use prospect::may_still_run;
pub(crate) use refusal::{check_keys, is_refusal_of_row};
#[cfg(feature = "runtime")]
pub use rescue::{Instance, Registrant, instance_claims, instance_register, instances, rescue};
pub(crate) use settings::max_attempts_of;
pub use settings::{QueueSettings, Rate, Settings, configure, queues, settings};
pub(crate) use settle::holds;
pub use settle::{ack, ack_batch, cancel, fail, heartbeat, parse_ids, release, retry};
pub use sweep::sweep_expired;
pub use unique::{OnConflict, Unique, UniqueUntil};
#[cfg(feature = "runtime")]
pub(crate) use work::is_held;
pub(crate) use work::work_outlook_of;
pub use work::{
    Delay, Held, Lost, Outcome, Settlement, Turn, Turned, WorkOutlook, settle, turn, work_outlook,
};
