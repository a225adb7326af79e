//! The page's files, which are part of the program.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Shared;

const INDEX: &str = include_str!("page/index.html");
const LOGIN: &str = include_str!("page/login.html");
const SCRIPT: &str = include_str!("page/app.js");
const STYLE: &str = include_str!("page/app.css");
const ICON: &str = include_str!("page/icon.svg");

/// `GET /`: the page, or the way to log in.
pub async fn index(State(site): State<Shared>, headers: HeaderMap) -> Response {
    if site.may_enter(&headers) {
        file(INDEX, "text/html; charset=utf-8")
    } else {
        to(format!("{}/login", site.prefix))
    }
}

/// `GET /login`.
pub async fn login() -> Response {
    file(LOGIN, "text/html; charset=utf-8")
}

/// `GET /app.js`.
pub async fn script() -> Response {
    file(SCRIPT, "text/javascript; charset=utf-8")
}

/// `GET /app.css`.
pub async fn style() -> Response {
    file(STYLE, "text/css; charset=utf-8")
}

/// `GET /icon.svg`.
pub async fn icon() -> Response {
    file(ICON, "image/svg+xml")
}

/// `GET` of the prefix without its slash: names in the page are relative to it.
pub async fn to_prefix(State(site): State<Shared>) -> Response {
    to(format!("{}/", site.prefix))
}

fn file(text: &'static str, kind: &'static str) -> Response {
    let kind = HeaderValue::from_static(kind);
    // Another version of the program may be there the next time.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))], text)
        .into_response()
}

fn to(location: String) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}
