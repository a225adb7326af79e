//! The description of the API, as an OpenAPI document. Tests hold it against what the server answers.

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::{Refusal, Shared};

const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /api/openapi.json`.
pub async fn document(State(site): State<Shared>) -> Result<Json<Value>, Refusal> {
    let mut document: Value =
        serde_json::from_str(DOCUMENT).map_err(|error| Refusal(500, format!("openapi.json: {error}")))?;
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    document["servers"][0]["url"] = format!("{}/", site.prefix).into();
    Ok(Json(document))
}
