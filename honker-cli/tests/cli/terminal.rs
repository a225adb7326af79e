//! The program on a terminal, and what is on its screen; questions, bars and redrawing, which are only there.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::{Site, dead, until};

pub const ROWS: u16 = 30;
pub const COLUMNS: u16 = 110;

/// A run on a terminal. It is killed when it is dropped.
pub struct Terminal {
    pub child: Child,
    keyboard: std::fs::File,
    screen: Arc<Mutex<vt100::Parser>>,
    /// All that was written.
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    pub fn start(mut command: Command) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).expect("granted");
        unlockpt(&ours).expect("unlocked");
        let name = ptsname(&ours, Vec::new()).expect("a name").into_string().expect("text");
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&ours, size).expect("a size");
        let open = || -> OwnedFd {
            std::fs::OpenOptions::new().read(true).write(true).open(&name).expect("opened").into()
        };
        command
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR");
        let child = command.spawn().expect("honker runs");
        drop(command);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, 0)));
        let written = Arc::new(Mutex::new(Vec::new()));
        let keyboard = std::fs::File::from(ours);
        let mut output = keyboard.try_clone().expect("cloned");
        let (shown, kept) = (Arc::clone(&screen), Arc::clone(&written));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                shown.lock().expect("the screen").process(&bytes[..n]);
                kept.lock().expect("what was written").extend_from_slice(&bytes[..n]);
            }
        });
        Terminal { child, keyboard, screen, written }
    }

    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    pub fn text(&self) -> String {
        self.screen.lock().expect("the screen").screen().contents()
    }

    pub fn shows(&self, text: &str) {
        until(&format!("{text} is on the screen"), || self.text().contains(text));
    }

    pub fn with_screen<T>(&self, read: impl FnOnce(&vt100::Screen) -> T) -> T {
        read(self.screen.lock().expect("the screen").screen())
    }

    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().expect("what was written")).into_owned()
    }

    pub fn end(&mut self) -> Option<i32> {
        let mut status = None;
        until("it ends", || {
            status = self.child.try_wait().expect("its status");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_question_is_answered_on_the_terminal() {
    let site = Site::new();
    dead(&site, "emails", "x");
    let mut terminal = Terminal::start(site.command(&["jobs", "retry", "--all"]));
    // The command of the site reads nothing; here the terminal is its input.
    terminal.shows("Retry 1 job? [y/N]");
    terminal.press("n\r");
    assert_eq!(terminal.end(), Some(4));
    assert_eq!(site.json(&["dead", "--json"]).as_array().expect("a list").len(), 1);
    let mut terminal = Terminal::start(site.command(&["jobs", "retry", "--all"]));
    terminal.shows("Retry 1 job? [y/N]");
    terminal.press("y\r");
    terminal.shows("1 job retried");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn what_takes_long_has_a_bar_on_a_terminal() {
    let site = Site::new();
    for _ in 0..5_000 {
        site.enqueue("q", "{}");
    }
    let mut terminal = Terminal::start(site.command(&["jobs", "cancel", "--all", "-y"]));
    terminal.shows("5000 jobs cancelled");
    assert_eq!(terminal.end(), Some(0));
    assert!(terminal.written().contains("/5000"), "{}", terminal.written());
}

#[test]
fn a_table_that_is_watched_takes_the_place_of_the_one_before_and_fits_the_screen() {
    let site = Site::new();
    site.enqueue("q", &"long ".repeat(100));
    let terminal = Terminal::start(site.command(&["jobs", "--watch"]));
    terminal.shows("long");
    site.enqueue("second", "{}");
    terminal.shows("second");
    // It may be seen before it is drawn to the end.
    until("all of it is there", || terminal.text().lines().filter(|line| !line.is_empty()).count() == 3);
    let text = terminal.text();
    assert_eq!(text.matches("PAYLOAD").count(), 1, "{text}");
    assert!(text.contains('…'));
}
