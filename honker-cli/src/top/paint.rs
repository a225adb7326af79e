//! Drawing `honker top`.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};

use super::view::{List, View};
use crate::moment;
use crate::text::one_line;

const HELP: &str = "Tab list  ↑↓ row  p pause  c cancel  r retry  q end";

/// Draws all of it.
pub fn paint(frame: &mut Frame<'_>, view: &mut View) {
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(2),
        Constraint::Fill(2),
        Constraint::Fill(1),
        Constraint::Length(1),
    ]);
    let [title, queues, running, dead, foot] = areas.areas(frame.area());
    let now = moment::now();
    frame.render_widget(Line::styled(heading(view), Style::new().add_modifier(Modifier::BOLD)), title);
    paint_queues(frame, queues, view);
    paint_running(frame, running, view, now);
    paint_dead(frame, dead, view, now);
    let (text, style) = match &view.question {
        Some((question, _)) => {
            (format!("{question} y/n"), Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD))
        }
        None if view.said.is_empty() => (HELP.to_owned(), Style::new().add_modifier(Modifier::DIM)),
        None => (view.said.clone(), Style::new()),
    };
    frame.render_widget(Paragraph::new(text).style(style), foot);
}

fn heading(view: &View) -> String {
    let file = one_line(&view.file);
    match &view.read {
        None => format!("honker {file}: reading"),
        Some(read) => {
            let leader = read
                .overview
                .leader
                .as_deref()
                .map_or_else(String::new, |leader| format!(", led by {}", one_line(leader)));
            format!(
                "honker {file}: {} queues, {} schedules{leader}",
                read.overview.queues.len(),
                read.overview.schedules.len()
            )
        }
    }
}

/// A list of rows under a title.
fn table<'a>(
    title: &'a str,
    is_chosen: bool,
    header: &[&'a str],
    rows: Vec<Row<'a>>,
    widths: &[Constraint],
) -> Table<'a> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let block = Block::bordered().title(title).border_style(if is_chosen {
        Style::new().fg(Color::Cyan)
    } else {
        Style::new()
    });
    let chosen = if is_chosen { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
    let header: Vec<Cell<'a>> = header.iter().map(|name| Cell::from(*name)).collect();
    Table::new(rows, widths.to_vec())
        .header(Row::new(header).style(bold))
        .block(block)
        .row_highlight_style(chosen)
}

fn paint_queues(frame: &mut Frame<'_>, area: Rect, view: &mut View) {
    let queues = view.read.iter().flat_map(|read| &read.overview.queues);
    let rows = queues.map(|queue| {
        let (depth, last_hour) = (&queue.metrics.depth, queue.last_hour);
        let name = one_line(&queue.metrics.queue);
        let claimed = queue.metrics.counts.claimed;
        let wait = (claimed > 0).then(|| queue.metrics.wait.sum_s / claimed as f64);
        let dead = if depth.dead > 0 { Style::new().fg(Color::Red) } else { Style::new() };
        Row::new(vec![
            Cell::from(if queue.settings.paused { format!("{name} (paused)") } else { name }),
            right(depth.due),
            Cell::from(depth.oldest_due_age_s.map_or_else(String::new, moment::duration)),
            right(depth.delayed),
            right(depth.processing),
            right(depth.blocked),
            right(depth.dead).style(dead),
            Cell::from(format!("{:>8.1}", last_hour.done as f64 / 60.0)),
            Cell::from(format!("{:>8.1}", last_hour.failed as f64 / 60.0)),
            Cell::from(wait.map_or_else(String::new, |s| format!("{s:.1} s"))),
        ])
    });
    let rows: Vec<Row<'_>> = rows.collect();
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(9),
    ];
    let header = [
        "QUEUE",
        "     DUE",
        "OLDEST",
        " DELAYED",
        " RUNNING",
        " BLOCKED",
        "    DEAD",
        "DONE/MIN",
        "FAIL/MIN",
        "MEAN WAIT",
    ];
    let list = table("Queues", view.list == List::Queues, &header, rows, &widths);
    frame.render_stateful_widget(list, area, &mut view.queues.clone());
}

fn paint_running(frame: &mut Frame<'_>, area: Rect, view: &mut View, now: i64) {
    let running = view.running();
    let rows = running.iter().map(|(worker, job)| {
        let left = job.claim_expires_at.saturating_sub(now);
        let until = if left < 0 { "lapsed".to_owned() } else { moment::duration(left) };
        Row::new(vec![
            Cell::from(job.id.to_string()),
            Cell::from(one_line(&job.queue)),
            Cell::from(format!("{}/{}", job.attempts, job.max_attempts)),
            Cell::from(until),
            Cell::from(one_line(crate::text::worker(worker))),
        ])
    });
    let rows: Vec<Row<'_>> = rows.collect();
    let widths = [
        Constraint::Length(10),
        Constraint::Length(20),
        Constraint::Length(8),
        Constraint::Length(10),
        Constraint::Fill(1),
    ];
    let list = table(
        "Running",
        view.list == List::Running,
        &["JOB", "QUEUE", "ATTEMPT", "FOR", "WORKER"],
        rows,
        &widths,
    );
    frame.render_stateful_widget(list, area, &mut view.running.clone());
}

fn paint_dead(frame: &mut Frame<'_>, area: Rect, view: &mut View, now: i64) {
    let dead = view.read.iter().flat_map(|read| &read.dead);
    let rows = dead.map(|group| {
        Row::new(vec![
            right(group.count),
            Cell::from(moment::relative(group.newest.died_at, now)),
            Cell::from(one_line(&group.newest.queue)),
            Cell::from(one_line(group.error.as_deref().unwrap_or(""))),
        ])
    });
    let rows: Vec<Row<'_>> = rows.collect();
    let widths = [Constraint::Length(8), Constraint::Length(12), Constraint::Length(20), Constraint::Fill(1)];
    let list = table(
        "Dead, by error",
        view.list == List::Dead,
        &["    JOBS", "NEWEST", "QUEUE", "ERROR"],
        rows,
        &widths,
    );
    frame.render_stateful_widget(list, area, &mut view.dead.clone());
}

fn right(n: i64) -> Cell<'static> {
    Cell::from(format!("{n:>8}"))
}
