//! Who may ask what. Every request comes through here.
//!
//! - `Host` is the address that is listened on, a name of the loopback, or one that was given: another name is one that somebody
//!   else's DNS points here.
//! - With a token, everything but the login, the page's files and `/healthz` needs it, as Bearer or by a session's cookie.
//! - A write has to come from the page itself, by what browsers say of its origin, or with a Bearer token, which no browser
//!   sends by itself. Its body, which is bounded, is read here, in bounded time.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::login::{cookie_of, same_text};
use super::{Refusal, Shared, Site};

/// The longest body of a request, and how long it may take to come.
const BODY_MAX: usize = 1024 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Lets a request through, or refuses it; what is said of every answer.
pub async fn guard(State(site): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let path = path.strip_prefix(site.prefix.as_str()).unwrap_or(path).to_owned();
    let mut response = match check(&site, request.method(), &path, request.headers()) {
        Ok(()) => match with_body(request).await {
            Ok(request) => next.run(request).await,
            Err(refusal) => refusal.into_response(),
        },
        Err(refusal) => refusal.into_response(),
    };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The request with its body, which was read: nothing waits for a slow client any more.
async fn with_body(request: Request) -> Result<Request, Refusal> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(request);
    }
    let (head, body) = request.into_parts();
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_MAX).collect()).await;
    let read = read.map_err(|_| Refusal(408, "the body did not come in time".to_owned()))?;
    let bytes = read.map_err(|error| match error.is::<LengthLimitError>() {
        true => Refusal(413, format!("a body has at most {BODY_MAX} bytes")),
        false => Refusal(400, format!("the body: {error}")),
    })?;
    Ok(Request::from_parts(head, Body::from(bytes.to_bytes())))
}

fn check(site: &Site, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    // It says nothing but that it is well, to whoever asks.
    if path == "/healthz" {
        return Ok(());
    }
    let host = text(headers, &header::HOST).unwrap_or("");
    if !site.answers_to(host) {
        return Err(Refusal(421, format!("this is not {host}: --host says by which names it may be asked")));
    }
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let bearer = site.bearer(headers);
    let is_open = matches!(path, "/" | "" | "/login" | "/app.js" | "/app.css" | "/icon.svg");
    if !is_open && !site.may_enter(headers) {
        return Err(Refusal(401, "a token is needed".to_owned()));
    }
    if is_read {
        return Ok(());
    }
    if !is_of_page(headers, host, bearer) {
        return Err(Refusal(
            403,
            "a write has to come from the page itself, or with a Bearer token".to_owned(),
        ));
    }
    if !matches!(path, "/login" | "/logout") && !site.write {
        return Err(Refusal(403, "this only reads: honker serve --write changes things".to_owned()));
    }
    Ok(())
}

/// Whether a write comes from the page itself, as far as a browser says, or from a program that knows the token.
fn is_of_page(headers: &HeaderMap, host: &str, bearer: bool) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    match text(headers, &header::ORIGIN) {
        // A proxy in front may speak TLS.
        Some(origin) => {
            ["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme) == Some(host))
        }
        None => bearer && !headers.contains_key(header::ORIGIN),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl Site {
    fn answers_to(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        if host == self.listen.to_string() || self.hosts.contains(&host) {
            return true;
        }
        // Without the port, and the brackets of IPv6.
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(""),
            None => host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name),
        };
        let is_loopback = matches!(name, "localhost" | "127.0.0.1" | "::1");
        is_loopback || name == self.listen.ip().to_string() || self.hosts.iter().any(|given| given == name)
    }

    /// Whether the request has the token as Bearer.
    fn bearer(&self, headers: &HeaderMap) -> bool {
        let given = text(headers, &header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        matches!((&self.token, given), (Some(token), Some(given)) if same_text(token, given.trim()))
    }

    /// Whether whoever asks may: there is no token, or it has shown that it knows it.
    pub fn may_enter(&self, headers: &HeaderMap) -> bool {
        self.token.is_none()
            || self.bearer(headers)
            || cookie_of(headers, &self.cookie_name()).is_some_and(|session| self.sessions.knows(session))
    }
}
