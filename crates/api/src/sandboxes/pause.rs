//! `POST /sandboxes/{id}/pause`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use ow_api_types::request::PauseSandbox;
use ow_lifecycle::PauseOptions;
use ow_types::{Durability, PauseMode};

use crate::auth::Caller;
use crate::body::OptionalBody;
use crate::error::ApiError;
use crate::path::InPath;
use crate::{Api, show};

/// Saves a sandbox and stops it; the header `Overwinter-Durability` asks for a level, and its
/// answer names the one that was reached.
pub(crate) async fn pause(
    caller: Caller,
    State(api): State<Api>,
    InPath(id): InPath,
    headers: HeaderMap,
    OptionalBody(body): OptionalBody<PauseSandbox>,
) -> Result<Response, ApiError> {
    let memory = body.memory.unwrap_or(true);
    let options = PauseOptions {
        mode: if memory { PauseMode::Full } else { PauseMode::Filesystem },
        durability: durability(&headers)?,
        require_healthy_guest: body.require_healthy_guest.unwrap_or(false),
    };
    let report = api.lifecycle.pause(&caller.team, &id, options).await?;
    Ok((StatusCode::NO_CONTENT, show::transition_headers(Some(&report))).into_response())
}

/// The level that is asked for by name.
fn durability(headers: &HeaderMap) -> Result<Option<Durability>, ApiError> {
    let Some(name) = headers.get(show::DURABILITY) else { return Ok(None) };
    let level = name.to_str().ok().and_then(Durability::parse).ok_or_else(|| {
        ApiError::bad_request(
            "`Overwinter-Durability` must be frozen, captured, durable-local or durable-remote",
        )
    })?;
    Ok(Some(level))
}
