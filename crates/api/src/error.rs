//! Every answer that is no success: status, JSON body, and whether to try again.
//!
//! E2B's clients retry 429, 502, 503 and 504 by themselves, `POST /sandboxes` included, unless the
//! answer says `Should-Retry`; so every one of these here says so.

use std::any::Any;
use std::error::Error;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use ow_db::DbError;
use ow_lifecycle::LifecycleError;
use ow_node_api::NodeError;
use ow_types::SandboxId;

/// Tells clients whether to send the same request again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("should-retry");

/// E2B's name for a guest agent that does not answer; clients raise an error of its own for it.
const GUEST_UNRESPONSIVE: &str = "sandbox_snapshot_guest_agent_unresponsive";

/// A request that is not met.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    error_code: Option<&'static str>,
    /// Whether the same request may succeed later; left to the client if none.
    retry: Option<bool>,
    retry_after_seconds: Option<u64>,
}

impl ApiError {
    /// Any status.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message, error_code: None, retry: None, retry_after_seconds: None }
    }

    /// The request makes no sense.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The request asks for what this server does not offer.
    pub(crate) fn unsupported_field(name: &str) -> Self {
        Self::bad_request(format!("`{name}` is not supported by this server yet"))
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// There is no such sandbox. Source of the text: CONTRACT.md section 5.
    pub(crate) fn no_sandbox(id: &str) -> Self {
        let shown: String = id.chars().take(64).collect();
        let text = format!("Sandbox \"{shown}\" doesn't exist or you don't have access to it");
        Self::not_found(text)
    }

    /// Nothing proves who asks.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// The path exists, for other methods.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
    }

    /// E2B has it, and this server does not.
    pub(crate) fn unsupported(what: &str) -> Self {
        let message = format!("{what} not supported by this server yet");
        Self::new(StatusCode::NOT_IMPLEMENTED, message).retry(false)
    }

    const fn retry(mut self, whether: bool) -> Self {
        self.retry = Some(whether);
        self
    }

    const fn after_seconds(mut self, seconds: u64) -> Self {
        self.retry = Some(true);
        self.retry_after_seconds = Some(seconds);
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ow_api_types::Error {
            code: self.status.as_u16(),
            message: self.message,
            error_code: self.error_code.map(str::to_owned),
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(retry) = self.retry {
            let value = HeaderValue::from_static(if retry { "true" } else { "false" });
            headers.insert(SHOULD_RETRY, value);
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<LifecycleError> for ApiError {
    fn from(error: LifecycleError) -> Self {
        let answer = match &error {
            LifecycleError::NotFound { id } => Self::no_sandbox(id.as_str()),
            LifecycleError::TemplateNotFound { .. } => Self::not_found(error.to_string()),
            LifecycleError::AlreadyPaused { .. } | LifecycleError::AlreadyRunning { .. } => {
                Self::new(StatusCode::CONFLICT, error.to_string())
            }
            LifecycleError::TimeoutTooLong { .. } | LifecycleError::Unsupported { .. } => {
                Self::bad_request(error.to_string())
            }
            LifecycleError::IdempotencyMismatch => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            }
            LifecycleError::IdempotencyInFlight => {
                Self::new(StatusCode::CONFLICT, error.to_string()).after_seconds(1)
            }
            LifecycleError::TooManyRunning { .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()).retry(false)
            }
            LifecycleError::LessSafe { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).after_seconds(5)
            }
            LifecycleError::GuestUnresponsive { .. } => unresponsive(&error),
            LifecycleError::ShuttingDown => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).after_seconds(2)
            }
            LifecycleError::Node { doing, id, source } => of_node(doing, id, source),
            LifecycleError::Db(source) => of_db(source),
            _ => internal(),
        };
        log(&error, answer.status);
        answer
    }
}

/// A healthy guest was asked for, and this one does not answer.
fn unresponsive(error: &LifecycleError) -> ApiError {
    let answer = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).retry(false);
    ApiError { error_code: Some(GUEST_UNRESPONSIVE), ..answer }
}

fn internal() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed; its log says why")
}

/// What a client is told of a node's failure: what it can act on, and no paths of the machine.
fn of_node(doing: &str, id: &SandboxId, error: &NodeError) -> ApiError {
    match error {
        NodeError::NoSuchTemplate { name } => {
            ApiError::not_found(format!("template '{name}' not found"))
        }
        NodeError::NoRoom { .. } => {
            let message = format!("{doing} sandbox {id}: the machine has no room for it now");
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).after_seconds(2)
        }
        NodeError::GuestUnresponsive { .. } => {
            let message = format!("{doing} sandbox {id}: its guest agent did not answer in time");
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, message).retry(false)
        }
        NodeError::BadSnapshot { .. } | NodeError::NoSuchSnapshot { .. } => {
            let message = format!("{doing} sandbox {id}: its snapshot cannot be restored");
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
        NodeError::Unsupported { .. } => ApiError::bad_request(error.to_string()),
        NodeError::NoSuchRun { .. } | NodeError::Failed { .. } => {
            let message = format!("{doing} sandbox {id} failed; the server's log says why");
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
        _ => internal(),
    }
}

fn of_db(error: &DbError) -> ApiError {
    match error {
        DbError::Conflict { .. } => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "changed by another request just now")
                .after_seconds(1)
        }
        DbError::NoSpace { .. } => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the server's disk is full")
                .after_seconds(5)
        }
        _ => internal(),
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        let answer = of_db(&error);
        log(&error, answer.status);
        answer
    }
}

/// Logs what is ours to repair, with its causes.
fn log(error: &(dyn Error + 'static), status: StatusCode) {
    if status.is_server_error() {
        let mut chain = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            chain.push_str(": ");
            chain.push_str(&error.to_string());
            cause = error.source();
        }
        tracing::error!(%status, error = chain, "a request failed");
    }
}

/// The answer to a request whose handler panicked.
pub(crate) fn after_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("no text"), "a handler panicked");
    internal().into_response()
}
