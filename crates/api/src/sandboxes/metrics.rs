//! `GET /sandboxes/{id}/metrics` and `GET /sandboxes/metrics`.

use axum::Json;
use axum::extract::State;
use ow_api_types::telemetry::{SandboxMetric, SandboxesWithMetrics};
use ow_lifecycle::{LifecycleError, Sample};
use ow_types::{SandboxId, Timestamp};

use crate::Api;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::path::InPath;
use crate::query::Query;

/// The most sandboxes that are asked for at once. Source: E2B's API description.
const MOST_AT_ONCE: usize = 100;

/// From here on a number of a time counts milliseconds: as seconds it would be the year 5138, and as
/// milliseconds it is 1973.
const FIRST_MILLIS: u64 = 100_000_000_000;

/// A sandbox's usage over time, oldest first.
pub(crate) async fn of_one(
    caller: Caller,
    State(api): State<Api>,
    InPath(id): InPath,
    query: Query,
) -> Result<Json<Vec<SandboxMetric>>, ApiError> {
    let moment = |name| -> Result<Option<Timestamp>, ApiError> {
        Ok(query.parsed::<u64>(name)?.map(time_of))
    };
    let (from, to) = (moment("start")?, moment("end")?);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(ApiError::bad_request("`start` is after `end`"));
    }
    let samples = api.lifecycle.samples(&caller.team, &id, from, to).await?;
    Ok(Json(samples.iter().map(show).collect()))
}

/// The newest usage of several sandboxes; those that are gone are left out.
pub(crate) async fn of_many(
    caller: Caller,
    State(api): State<Api>,
    query: Query,
) -> Result<Json<SandboxesWithMetrics>, ApiError> {
    let names = query.list("sandbox_ids");
    if names.is_empty() || names.len() > MOST_AT_ONCE {
        let message = format!("`sandbox_ids` must name 1 to {MOST_AT_ONCE} sandboxes");
        return Err(ApiError::bad_request(message));
    }
    let mut answer = SandboxesWithMetrics::default();
    for id in names.into_iter().filter_map(|name| SandboxId::from_client(name).ok()) {
        match api.lifecycle.samples(&caller.team, &id, None, None).await {
            Ok(samples) => {
                let newest = samples.last().map(|sample| (id.to_string(), show(sample)));
                answer.sandboxes.extend(newest);
            }
            Err(LifecycleError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Json(answer))
}

/// The moment of a number of seconds or milliseconds since 1970.
///
/// The API's description says seconds, and clients of it send milliseconds too.
fn time_of(number: u64) -> Timestamp {
    let is_millis = number >= FIRST_MILLIS;
    Timestamp::from_unix_millis(if is_millis { number } else { number.saturating_mul(1000) })
}

fn show(sample: &Sample) -> SandboxMetric {
    let metrics = &sample.metrics;
    SandboxMetric {
        timestamp: sample.at.to_string(),
        timestamp_unix: sample.at.unix_millis() / 1000,
        cpu_count: metrics.cpu_count,
        cpu_used_pct: metrics.cpu_used_pct,
        mem_used: metrics.mem_used,
        mem_total: metrics.mem_total,
        mem_cache: metrics.mem_cache,
        disk_used: metrics.disk_used,
        disk_total: metrics.disk_total,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_milliseconds() {
        for (number, millis) in [
            (0, 0),
            (1_790_000_000, 1_790_000_000_000),
            (1_790_000_000_123, 1_790_000_000_123),
            (u64::MAX, u64::MAX),
        ] {
            assert_eq!(time_of(number), Timestamp::from_unix_millis(millis));
        }
    }
}
