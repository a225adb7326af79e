//! Browsers log in by a form with the token, and have a cookie from then on. The sessions are in memory, for half a day.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::{Refusal, Shared, Site};

const LIFE: Duration = Duration::from_secs(12 * 3600);

/// The oldest is forgotten for the next.
const SESSIONS_MAX: usize = 1_000;

/// A wrong token is answered this late.
const PAUSE: Duration = Duration::from_millis(500);

/// Who has logged in, by the value of the cookie.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<String, Instant>>);

#[derive(Deserialize)]
pub struct Credentials {
    token: String,
}

/// `POST /login`.
pub async fn log_in(State(site): State<Shared>, Form(given): Form<Credentials>) -> Response {
    let is_right = site.token.as_deref().is_some_and(|token| same_text(token, given.token.trim()));
    if !is_right {
        tokio::time::sleep(PAUSE).await;
        return to(&site, "/login?wrong").into_response();
    }
    match site.sessions.begin() {
        Ok(session) => {
            let cookie = format!(
                "{}={session}; Path={}/; HttpOnly; SameSite=Strict; Max-Age={}",
                site.cookie_name(),
                site.prefix,
                LIFE.as_secs()
            );
            ([(header::SET_COOKIE, cookie)], to(&site, "/")).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// `POST /logout`.
pub async fn log_out(State(site): State<Shared>, headers: HeaderMap) -> Response {
    if let Some(session) = cookie_of(&headers, &site.cookie_name()) {
        site.sessions.end(session);
    }
    let cookie =
        format!("{}=; Path={}/; HttpOnly; SameSite=Strict; Max-Age=0", site.cookie_name(), site.prefix);
    ([(header::SET_COOKIE, cookie)], to(&site, "/login")).into_response()
}

fn to(site: &Site, path: &str) -> impl IntoResponse + use<> {
    (StatusCode::SEE_OTHER, [(header::LOCATION, format!("{}{path}", site.prefix))])
}

impl Site {
    /// Cookies do not tell ports apart.
    pub fn cookie_name(&self) -> String {
        format!("honker_{}", self.listen.port())
    }
}

impl Sessions {
    fn begin(&self) -> Result<String, Refusal> {
        let session = random().ok_or_else(|| Refusal(500, "there is no randomness to be had".to_owned()))?;
        let mut sessions = self.lock();
        let now = Instant::now();
        sessions.retain(|_, since| now.duration_since(*since) < LIFE);
        if sessions.len() >= SESSIONS_MAX
            && let Some(oldest) =
                sessions.iter().min_by_key(|(_, since)| **since).map(|(session, _)| session.clone())
        {
            sessions.remove(&oldest);
        }
        sessions.insert(session.clone(), now);
        Ok(session)
    }

    /// Whether it is one. By its hash: how long that takes says nothing of its characters.
    pub fn knows(&self, session: &str) -> bool {
        self.lock().get(session).is_some_and(|since| since.elapsed() < LIFE)
    }

    fn end(&self, session: &str) {
        self.lock().remove(session);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 128 random bits, in hexadecimal digits.
fn random() -> Option<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The value of a cookie.
pub fn cookie_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(found, _)| *found == name).map(|(_, value)| value).next()
}

/// Whether both are the same. How long that takes depends on the length of `given` alone.
pub fn same_text(secret: &str, given: &str) -> bool {
    let secret = secret.as_bytes();
    let mut differ = secret.len() ^ given.len();
    for (at, byte) in given.bytes().enumerate() {
        differ |= usize::from(secret[at % secret.len().max(1)] ^ byte);
    }
    differ == 0
}
