//! `/files`: the contents of files.

mod access;
mod compose;
mod download;
mod drain;
mod encoding;
mod locks;
mod pieces;
mod range;
mod signature;
mod upload;
mod write;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::guest::Guest;
pub(crate) use locks::PathLocks;

/// The requests, by path.
pub(crate) fn routes() -> Router<Guest> {
    Router::new()
        .route("/files", get(download::download).post(upload::upload))
        .route("/files/compose", post(compose::compose))
        // A file may be as large as the disk.
        .layer(DefaultBodyLimit::disable())
}
