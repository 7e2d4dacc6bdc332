//! The node's port: who the sandbox is, whether it is ready, what it does.

use std::io::Write as _;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use ow_guest_proto::control::{Init, Observation};
use ow_guest_proto::json;
use serde::Deserialize;

use crate::guest::Guest;
use crate::http_error::HttpError;
use crate::metrics;

/// How far the clock may be off before it is set. gVisor's follows the host's.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

/// What random numbers are mixed into.
const RANDOM_DEVICE: &str = "/dev/urandom";

pub(crate) fn routes() -> Router<Guest> {
    Router::new()
        .route("/init", post(init))
        .route("/health", get(async || StatusCode::NO_CONTENT))
        .route("/ready", get(ready))
        .route("/observe", get(observe))
}

async fn ready(State(guest): State<Guest>) -> StatusCode {
    if guest.interpreter().is_none_or(ow_interpreter::Interpreter::is_ready) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

#[derive(Debug, Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn observe(State(guest): State<Guest>, Query(query): Query<After>) -> Response {
    let events = guest.events().after(query.after);
    Json(Observation { metrics: metrics::measure(&guest), events }).into_response()
}

/// Tells the guest who it is. Comes again after each restore, maybe with another identity.
async fn init(State(guest): State<Guest>, body: Bytes) -> Result<StatusCode, HttpError> {
    let init: Init = json::message(&body)
        .map_err(|error| HttpError::bad_request(format!("invalid request body: {error}")))?;
    let seed = init.reseed.as_deref().map(parse_seed).transpose()?;
    guest.take_identity(&init);
    if guest.options().owns_machine {
        let (guest, init) = (guest.clone(), init.clone());
        let applied = tokio::task::spawn_blocking(move || apply_to_machine(&guest, &init));
        applied.await.map_err(|error| {
            HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        })?;
    }
    if let Some(interpreter) = guest.interpreter() {
        interpreter.restored();
    }
    if let Some(seed) = seed {
        reseed_kernel(&seed).map_err(|error| not_reseeded(&guest, &error))?;
        if let Some(interpreter) = guest.interpreter() {
            interpreter.reseed(seed).await;
        }
    }
    guest.events().add("info", "sandbox initialized", &[("sandbox", init.sandbox_id)]);
    Ok(StatusCode::NO_CONTENT)
}

fn parse_seed(text: &str) -> Result<[u8; 32], HttpError> {
    let bytes = STANDARD.decode(text).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| HttpError::bad_request("reseed is not 32 bytes in base64"))
}

/// Mixes the bytes into the kernel's random numbers.
fn reseed_kernel(seed: &[u8; 32]) -> std::io::Result<()> {
    std::fs::OpenOptions::new().write(true).open(RANDOM_DEVICE)?.write_all(seed)
}

/// Who draws from it may not run with the numbers that another run of the same image draws.
fn not_reseeded(guest: &Guest, error: &std::io::Error) -> HttpError {
    let reason = format!("the kernel was not reseeded: {RANDOM_DEVICE}: {error}");
    guest.events().add("error", "the kernel was not reseeded", &[("error", error.to_string())]);
    HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, reason)
}

/// Tells the kernel and the files under `/etc` the sandbox's name, and sets the clock if it is wrong.
fn apply_to_machine(guest: &Guest, init: &Init) {
    let name = &init.hostname;
    let hosts = hosts(&std::fs::read_to_string("/etc/hosts").unwrap_or_default(), name);
    let steps = [
        ("set the host name", nix::unistd::sethostname(name).map_err(Into::into)),
        ("write /etc/hostname", std::fs::write("/etc/hostname", format!("{name}\n"))),
        ("write /etc/hosts", std::fs::write("/etc/hosts", hosts)),
        ("set the clock", set_clock(guest, init.now_unix_millis)),
    ];
    for (step, result) in steps {
        if let Err(error) = result {
            guest.events().add(
                "warn",
                &format!("could not {step}"),
                &[("error", error.to_string())],
            );
        }
    }
}

/// `/etc/hosts` with the sandbox's own name in place of the one before, and whatever else it held.
fn hosts(before: &str, name: &str) -> String {
    let mut lines: Vec<&str> =
        before.lines().filter(|line| !line.trim_start().starts_with(OWN_ADDRESS)).collect();
    for (address, line) in [("127.0.0.1", "127.0.0.1 localhost"), ("::1", "::1 localhost")] {
        if !lines.iter().any(|known| known.split_whitespace().next() == Some(address)) {
            lines.push(line);
        }
    }
    let own = format!("{OWN_ADDRESS} {name}");
    lines.push(&own);
    lines.join("\n") + "\n"
}

/// What the host's own name stands for, as Debian has it.
const OWN_ADDRESS: &str = "127.0.1.1";

fn set_clock(guest: &Guest, now_unix_millis: u64) -> std::io::Result<()> {
    use nix::sys::time::{TimeSpec, TimeValLike as _};
    use nix::time::{ClockId, clock_settime};

    let off = guest.clock().now().unix_millis().abs_diff(now_unix_millis);
    if now_unix_millis == 0 || u128::from(off) <= CLOCK_TOLERANCE.as_millis() {
        return Ok(());
    }
    let millis = i64::try_from(now_unix_millis).map_err(std::io::Error::other)?;
    Ok(clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::milliseconds(millis))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_that_a_template_brought_stay() {
        let first = hosts("", "one");
        assert_eq!(first, "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 one\n");
        let again = hosts(&(first + "10.0.0.7 database\n"), "two");
        let expected = "127.0.0.1 localhost\n::1 localhost\n10.0.0.7 database\n127.0.1.1 two\n";
        assert_eq!(again, expected);
    }
}
