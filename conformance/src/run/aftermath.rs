//! The checks that every case ends with.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Owed, Run, Started, copy_dir, file_name};
use crate::case::{Actor, letter};
use crate::engine::Database;
use crate::oracle;
use crate::protocol::Answer;
use crate::testee::{TIMEOUT, Trouble};

impl Run<'_> {
    /// The checks after the last step. The directory is gone after them.
    pub(super) fn aftermath(&mut self, keep: Option<&Path>) -> Result<(), String> {
        let living: Vec<Actor> =
            self.case.actors.iter().copied().filter(|actor| !self.dead.contains(actor)).collect();
        for actor in &living {
            let testee = self.testee(*actor);
            testee.control.disarm();
            testee.signal(libc::SIGCONT);
            testee
                .must("reset", json!({}))
                .map_err(|error| format!("at the end: {}: {error}", letter(*actor)))?;
        }
        for (name, started) in std::mem::take(&mut self.started) {
            self.settle(&name, started)?;
        }
        for actor in &living {
            let by = |error| format!("at the end: {}: {error}", letter(*actor));
            if let Some(how) = self.testee(*actor).broken() {
                return Err(by(Trouble::Broken(how).to_string()));
            }
            self.player(*actor).check_threads().map_err(by)?;
        }
        self.check_files(living.len() == self.case.actors.len())?;
        let dir = self.scope.dir.clone();
        if let Some(keep) = keep {
            self.database.keep(&dir);
            copy_dir(&dir, keep)?;
        }
        let _ = std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755));
        std::fs::remove_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        for actor in living {
            let by = |error| format!("at the end: {}: {error}", letter(actor));
            self.player(actor).check_descriptors(&dir).map_err(by)?;
        }
        for actor in &self.dead {
            self.players.get_mut(actor).iter_mut().for_each(|player| player.discard());
        }
        Ok(())
    }

    /// The answer to a step that nobody has awaited: reset has ended what it was doing.
    fn settle(&mut self, name: &str, started: Started) -> Result<(), String> {
        let Owed::Ticket(ticket) = started.answer else { return Ok(()) };
        if self.dead.contains(&started.actor) {
            return Ok(());
        }
        let by = format!("at the end: {name}, started by {} in step {}", letter(started.actor), started.step);
        match self.testee(started.actor).answer(ticket, TIMEOUT) {
            Ok(answer @ Answer::Crashed { .. }) => Err(format!("{by}: {answer}")),
            Ok(_) => Ok(()),
            Err(trouble) => Err(format!("{by}: after reset: {trouble}")),
        }
    }

    fn check_files(&self, all_closed: bool) -> Result<(), String> {
        let dir = &self.scope.dir;
        let say = |error: String| format!("at the end: {error}");
        if all_closed && self.touched.is_empty() {
            let left: Vec<String> = oracle::left_behind(dir).iter().map(|path| file_name(path)).collect();
            if !left.is_empty() {
                return Err(say(format!("all is closed, but there still is {}", left.join(", "))));
            }
        }
        let files = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = files
            .filter(|path| path.extension().is_some_and(|extension| extension == "db"))
            .filter(|path| !self.touched.contains(&file_name(path)))
            .collect();
        files.sort();
        files.iter().try_for_each(|path| oracle::inspect(path)).map_err(say)?;
        match &self.database {
            Database::File(_) => Ok(()),
            server => server.inspect().map_err(say),
        }
    }
}
