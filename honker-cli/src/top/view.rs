//! What `honker top` shows, and what of it is chosen.

use crossterm::event::KeyCode;
use ratatui::widgets::TableState;

use super::Read;
use crate::text::one_line;

/// The lists, in the order of Tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Queues,
    Running,
    Dead,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    None,
    End,
    /// Pause or resume a queue.
    Pause(String, bool),
    /// Cancel a job.
    Cancel(i64),
    /// Retry the dead of a group.
    Retry(Option<String>),
}

/// See the module documentation.
pub struct View {
    pub file: String,
    pub read: Option<Read>,
    pub list: List,
    pub queues: TableState,
    pub running: TableState,
    pub dead: TableState,
    /// The last line.
    pub said: String,
    /// What is asked, and what a yes does.
    pub question: Option<(String, Act)>,
}

impl View {
    pub fn new(file: &str) -> Self {
        let first = || TableState::default().with_selected(0);
        View {
            file: file.to_owned(),
            read: None,
            list: List::Queues,
            queues: first(),
            running: first(),
            dead: first(),
            said: String::new(),
            question: None,
        }
    }

    /// Takes what was read in the place of what is shown.
    pub fn take(&mut self, read: Read) {
        self.read = Some(read);
        for list in [List::Queues, List::Running, List::Dead] {
            let last = self.rows(list).saturating_sub(1);
            let state = self.state(list);
            state.select(state.selected().map(|at| at.min(last)));
        }
    }

    pub fn say(&mut self, text: String) {
        self.said = one_line(&text);
    }

    /// The jobs that run, each with its worker.
    pub fn running(&self) -> Vec<(&str, &crate::overview::RunningJob)> {
        let workers = self.read.iter().flat_map(|read| &read.overview.workers);
        workers.flat_map(|worker| worker.jobs.iter().map(|job| (worker.worker_id.as_str(), job))).collect()
    }

    fn rows(&self, list: List) -> usize {
        let Some(read) = &self.read else { return 0 };
        match list {
            List::Queues => read.overview.queues.len(),
            List::Running => self.running().len(),
            List::Dead => read.dead.len(),
        }
    }

    fn state(&mut self, list: List) -> &mut TableState {
        match list {
            List::Queues => &mut self.queues,
            List::Running => &mut self.running,
            List::Dead => &mut self.dead,
        }
    }

    /// Obeys a key.
    pub fn key(&mut self, key: KeyCode) -> Act {
        if let Some((_, act)) = self.question.take() {
            if matches!(key, KeyCode::Char('y' | 'Y')) {
                return act;
            }
            self.say("nothing was done".to_owned());
            return Act::None;
        }
        self.said.clear();
        match key {
            KeyCode::Char('q') => return Act::End,
            KeyCode::Tab | KeyCode::Right => self.list = next(self.list),
            KeyCode::BackTab | KeyCode::Left => self.list = next(next(self.list)),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Char('p') => self.question = self.ask_pause(),
            KeyCode::Char('c') => self.question = self.ask_cancel(),
            KeyCode::Char('r') => self.question = self.ask_retry(),
            _ => {}
        }
        Act::None
    }

    fn step(&mut self, by: isize) {
        let list = self.list;
        let last = self.rows(list).saturating_sub(1);
        let state = self.state(list);
        let at = state.selected().unwrap_or(0).saturating_add_signed(by).min(last);
        state.select(Some(at));
    }

    fn ask_pause(&self) -> Option<(String, Act)> {
        let queue = self.read.as_ref()?.overview.queues.get(self.queues.selected()?)?;
        let (name, pauses) = (&queue.metrics.queue, !queue.settings.paused);
        let verb = if pauses { "Pause" } else { "Resume" };
        Some((format!("{verb} '{}'?", one_line(name)), Act::Pause(name.clone(), pauses)))
    }

    fn ask_cancel(&self) -> Option<(String, Act)> {
        let running = self.running();
        let (_, job) = running.get(self.running.selected()?)?;
        Some((format!("Cancel job {}?", job.id), Act::Cancel(job.id)))
    }

    fn ask_retry(&self) -> Option<(String, Act)> {
        let group = self.read.as_ref()?.dead.get(self.dead.selected()?)?;
        let n = crate::confirm::jobs(group.count.cast_unsigned());
        Some((format!("Retry {n}?"), Act::Retry(group.error.clone())))
    }
}

fn next(list: List) -> List {
    match list {
        List::Queues => List::Running,
        List::Running => List::Dead,
        List::Dead => List::Queues,
    }
}
