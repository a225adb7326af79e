//! What a commit was about, where that is known: on a server, which says it in a notice. Of a file nobody knows more than that
//! something was committed.

use std::sync::Arc;

/// What was changed, so far as somebody may wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// Anything may have been.
    Anything,
    /// What can be claimed from a queue.
    Queue(String),
    /// There are notifications on a channel.
    Channel(String),
    /// There are events of a topic.
    Topic(String),
    /// There is the result of a job.
    Result(i64),
    /// A claim of this worker has ended without its doing.
    Worker(String),
    /// The schedules, or who leads them.
    Schedules,
}

/// What was changed since somebody asked last.
#[derive(Debug, Clone)]
pub enum News {
    /// Nobody knows.
    Anything,
    /// This.
    Changes(Vec<Arc<[Change]>>),
}

impl News {
    /// Whether anything is among them that `concerns` says yes to.
    pub fn any(&self, mut concerns: impl FnMut(&Change) -> bool) -> bool {
        match self {
            News::Anything => true,
            News::Changes(changes) => changes
                .iter()
                .flat_map(|some| some.iter())
                .any(|change| matches!(change, Change::Anything) || concerns(change)),
        }
    }

    /// Both.
    pub fn add(&mut self, more: News) {
        match (&mut *self, more) {
            (News::Changes(changes), News::Changes(more)) => changes.extend(more),
            (_, _) => *self = News::Anything,
        }
    }
}

impl Default for News {
    fn default() -> Self {
        News::Changes(Vec::new())
    }
}
