//! A payload as the shell gives it: the argument itself, `@file`, or standard input.

use std::io::{IsTerminal, Read};

use clap::Args;

use crate::failure::{Failure, Result};

/// The last argument of commands that send something.
#[derive(Args, Clone, Debug)]
pub struct Payload {
    /// The payload: a text, @FILE for what is in a file, or - for standard input (the default if that is no terminal)
    #[arg(value_name = "PAYLOAD")]
    payload: Option<String>,
}

impl Payload {
    /// Reads it. It is sent as it is: honker's packages expect JSON.
    pub fn read(&self) -> Result<String> {
        match self.payload.as_deref() {
            Some("-") => read_stdin(),
            Some(text) => match text.strip_prefix('@') {
                Some(path) => std::fs::read(path)
                    .map_err(|error| Failure::Failed(format!("{path}: {error}")))
                    .and_then(|bytes| text_of(bytes, path)),
                None => Ok(text.to_owned()),
            },
            None if std::io::stdin().is_terminal() => Err(Failure::Usage(
                "there is no payload: give it as an argument, as @FILE, or on standard input".to_owned(),
            )),
            None => read_stdin(),
        }
    }
}

fn read_stdin() -> Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    text_of(bytes, "standard input")
}

fn text_of(bytes: Vec<u8>, from: &str) -> Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| Failure::Usage(format!("{from}: a payload is text in UTF-8, and this is not")))
}
