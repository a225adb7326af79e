//! `honker top`, on a terminal.

use std::fmt::Write;

use honker_core::queue::Claim;

use crate::support::{Site, dead, until};
use crate::terminal::{COLUMNS, ROWS, Terminal};

fn claim(site: &Site, queue: &str, worker_id: &str) -> i64 {
    let claim = Claim { queue, worker_id, n: 1, timeout_s: 300 };
    site.database.claim(&claim).expect("claimed")[0].id
}

#[test]
fn it_shows_what_there_is_and_moves_with_commits() {
    let site = Site::new();
    site.enqueue("emails", "{}");
    claim(&site, "emails", "mail-1");
    dead(&site, "reports", "no paper in tray 3");
    let mut top = Terminal::start(site.command(&["top"]));
    for text in ["2 queues", "emails", "mail-1", "no paper in tray #", "q end"] {
        top.shows(text);
    }
    site.run(&["enqueue", "thumbnails", "{}"]).ok();
    top.shows("thumbnails");
    top.press("q");
    assert_eq!(top.end(), Some(0));
    // What it has written last may still be read.
    until("the terminal is as it was", || {
        top.with_screen(|screen| !screen.alternate_screen() && !screen.hide_cursor())
    });
}

#[test]
fn keys_pause_cancel_and_retry_after_a_question() {
    let site = Site::new();
    site.enqueue("emails", "{}");
    let running = claim(&site, "emails", "mail-1");
    dead(&site, "reports", "timeout after 3 s");
    dead(&site, "reports", "timeout after 4 s");
    let mut top = Terminal::start(site.command(&["top"]));
    top.shows("timeout after # s");
    top.press("p");
    top.shows("Pause 'emails'? y/n");
    top.press("n");
    top.shows("nothing was done");
    assert!(!site.database.queue_settings("emails").expect("read").paused);
    top.press("p");
    top.shows("Pause 'emails'? y/n");
    top.press("y");
    top.shows("emails (paused)");
    // The second queue, and past the end.
    top.press("jjjj");
    top.press("p");
    top.shows("Pause 'reports'? y/n");
    top.press("n");
    top.press("c");
    top.shows(&format!("Cancel job {running}? y/n"));
    top.press("y");
    until("it is gone", || site.database.get_job(running).expect("read").is_none());
    top.press("r");
    top.shows("Retry 2 jobs? y/n");
    top.press("y");
    top.shows("2 retried, 0 passed over");
    top.press("\x03");
    assert_eq!(top.end(), Some(0));
}

#[test]
fn without_a_terminal_it_says_so() {
    let site = Site::new();
    assert!(site.run(&["top"]).fails(2).stderr.contains("--watch"));
}

#[test]
fn sigterm_leaves_the_terminal_as_it_was() {
    let site = Site::new();
    let mut top = Terminal::start(site.command(&["top"]));
    top.shows("0 queues");
    let pid = top.child.id().to_string();
    assert!(std::process::Command::new("kill").arg(&pid).status().expect("kill runs").success());
    assert_eq!(top.end(), Some(0));
    until("it is", || top.with_screen(|screen| !screen.alternate_screen()));
}

/// HONKER_TOP_PICTURE=page.html HONKER_TOP_DB=app.db writes what `honker top` shows of that file, for the documentation's pictures.
#[test]
fn picture() {
    let (Some(path), Some(file)) =
        (std::env::var_os("HONKER_TOP_PICTURE"), std::env::var_os("HONKER_TOP_DB"))
    else {
        return;
    };
    let site = Site::new();
    let mut command = site.command(&["top"]);
    command.env("HONKER_DB", file);
    let mut top = Terminal::start(command);
    top.shows("q end");
    top.shows("mail-1");
    let html = top.with_screen(html);
    std::fs::write(path, html).expect("written");
    top.press("q");
    top.end();
}

fn html(screen: &vt100::Screen) -> String {
    let mut html = String::from(
        "<!doctype html><meta charset=utf-8><style>body{margin:0;background:#12161c}pre{margin:0;padding:14px;\
         font:14px/1.25 'DejaVu Sans Mono',monospace;color:#e4e9f0;display:inline-block}</style><pre>",
    );
    // The style of the span that is open.
    let mut open = String::new();
    let mut turn_to = |style: String, html: &mut String| {
        if style != open {
            html.push_str(if open.is_empty() { "" } else { "</span>" });
            let _ = if style.is_empty() { Ok(()) } else { write!(html, "<span style='{style}'>") };
            open = style;
        }
    };
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let Some(cell) = screen.cell(row, column) else { continue };
            let mut style = String::new();
            let color = match cell.fgcolor() {
                vt100::Color::Idx(1) => "#ff8f85",
                vt100::Color::Idx(6) => "#6fd4e0",
                _ => "",
            };
            if !color.is_empty() {
                let _ = write!(style, "color:{color};");
            }
            if cell.bold() {
                style += "font-weight:bold;";
            }
            if cell.inverse() {
                style += "background:#e4e9f0;color:#12161c;";
            }
            turn_to(style, &mut html);
            let text = match cell.contents() {
                "" => " ",
                text => text,
            };
            html += &text.replace('&', "&amp;").replace('<', "&lt;");
        }
        turn_to(String::new(), &mut html);
        html.push('\n');
    }
    html + "</pre>"
}
