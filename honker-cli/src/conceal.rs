//! Passwords of servers do not stay among the arguments, where everybody on the machine sees them (`ps`).
//!
//! A program that was given the URL of a server runs itself again, in the same process, with names in place of URLs; what they stand
//! for is in its environment, which only the same user can read. On Windows other users do not see arguments, and a process
//! cannot become another one: they stay as they are.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// What the names among the arguments stand for: the place of each, and the whole argument.
pub const VARIABLE: &str = "HONKER_CONCEALED";

/// The program's arguments.
pub struct Arguments {
    /// As they were given.
    pub all: Vec<OsString>,
    /// Those that are in no text: the whole argument, and the name that stands for it.
    secrets: Vec<(String, String)>,
}

impl Arguments {
    /// Those of this process. If there are any to hide, this does not return the first time.
    pub fn take() -> Self {
        let mut all: Vec<OsString> = std::env::args_os().collect();
        let hidden: Option<BTreeMap<usize, String>> =
            std::env::var(VARIABLE).ok().and_then(|text| serde_json::from_str(&text).ok());
        if let Some(hidden) = hidden {
            for (place, text) in &hidden {
                if let Some(argument) = all.get_mut(*place) {
                    *argument = text.into();
                }
            }
            let secrets = hidden.into_values().filter_map(|text| Some((text.clone(), named(&text)?)));
            return Arguments { secrets: secrets.collect(), all };
        }
        // What comes after -- is another program's.
        let own = all.iter().position(|argument| argument == "--").unwrap_or(all.len());
        let found: BTreeMap<usize, (String, String)> = all[..own]
            .iter()
            .enumerate()
            .filter_map(|(place, argument)| {
                let text = argument.to_str()?;
                Some((place, (text.to_owned(), named(text)?)))
            })
            .collect();
        if !found.is_empty() {
            run_again(&all, &found);
        }
        Arguments { secrets: found.into_values().collect(), all }
    }

    /// A text without what is to be hidden.
    pub fn without_secrets(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, (secret, name)| text.replace(secret, name))
    }
}

/// What stands for an argument that is a URL which says more than its name, or has one behind `--db=`.
fn named(argument: &str) -> Option<String> {
    let (before, url) = match argument.split_once('=') {
        Some((option, url)) if option.starts_with("--") => (format!("{option}="), url),
        _ => (String::new(), argument),
    };
    if !honker_postgres::is_url(url) {
        return None;
    }
    // What cannot be read as one may still have a password in it.
    let name = honker_postgres::name(url).unwrap_or_else(|_| "postgres://…".to_owned());
    (name != url).then(|| before + &name)
}

#[cfg(windows)]
fn run_again(_all: &[OsString], _found: &BTreeMap<usize, (String, String)>) {}

/// Where this is not possible, the arguments stay as they are.
#[cfg(unix)]
fn run_again(all: &[OsString], found: &BTreeMap<usize, (String, String)>) {
    use std::ffi::OsStr;
    use std::os::unix::process::CommandExt;

    let Ok(program) = std::env::current_exe() else { return };
    let hidden: BTreeMap<usize, &str> =
        found.iter().map(|(place, (text, _))| (*place, text.as_str())).collect();
    let Ok(hidden) = serde_json::to_string(&hidden) else { return };
    let shown = all.iter().enumerate().skip(1).map(|(place, argument)| match found.get(&place) {
        Some((_, name)) => OsStr::new(name),
        None => argument.as_os_str(),
    });
    let name = all.first().map_or(OsStr::new("honker"), OsString::as_os_str);
    let _ = std::process::Command::new(program).arg0(name).args(shown).env(VARIABLE, hidden).exec();
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_url_that_says_more_than_its_name_is_hidden() {
        for (argument, name) in [
            ("postgres://me:secret@h/app", Some("postgres://me@h/app")),
            ("--db=postgres://me:secret@h/app", Some("--db=postgres://me@h/app")),
            ("postgres://h/app?password=secret&user=me", Some("postgres://me@h/app")),
            ("postgres://me:sec/ret@h:port/app", Some("postgres://…")),
            ("postgres://me@h/app", None),
            ("app.db", None),
            ("--queue=emails", None),
            ("{\"url\": \"postgres://me:secret@h/app\"}", None),
        ] {
            assert_eq!(named(argument).as_deref(), name, "{argument}");
        }
    }
}
