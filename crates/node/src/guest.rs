//! Speaks to a guest agent over its control port.
//!
//! A guest is hostile: every answer has a limit in time and in size, and nothing in it is believed
//! beyond what it says of the guest itself.

use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use ow_guest_proto::control::{CONTROL_PORT, Init, Observation};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The longest answer that is read: an observation with a thousand events is about 200 kB.
const LONGEST_ANSWER: usize = 1 << 20;

/// The first pause between two looks whether a guest is up, and the longest.
///
/// A guest boots in 50 to 400 ms, so the first is lost in that, and the longest costs a host with
/// many waiting guests little.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(20));

/// How long a connection may take while a guest boots. A packet that comes before its network is
/// up is lost, and the kernel would only send the next after a second.
const CONNECT_WHILE_BOOTING: Duration = Duration::from_millis(40);

/// How long a connection to a guest that is up may take, on a machine under full load.
const CONNECT: Duration = Duration::from_secs(3);

/// Why a guest did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuestError {
    /// It cannot be reached, or says no HTTP.
    #[error("{0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// It answered something else.
    #[error("it answered with status {0}")]
    Refused(StatusCode),
}

/// The agent of one sandbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guest {
    address: Ipv4Addr,
}

impl Guest {
    pub(crate) const fn at(address: Ipv4Addr) -> Self {
        Self { address }
    }

    /// Returns once the agent answers.
    pub(crate) async fn wait_until_up(self, limit: Duration) -> Result<(), GuestError> {
        self.wait_for("/health", limit).await
    }

    /// Returns once all that its template starts is up.
    pub(crate) async fn wait_until_ready(self, limit: Duration) -> Result<(), GuestError> {
        self.wait_for("/ready", limit).await
    }

    async fn wait_for(self, path: &str, limit: Duration) -> Result<(), GuestError> {
        let began = Instant::now();
        let (mut pause, longest) = LOOK_AGAIN;
        loop {
            let left = limit.saturating_sub(began.elapsed());
            let answer = self.ask(path, CONNECT_WHILE_BOOTING, left.min(CONNECT)).await;
            if answer.is_ok() {
                return Ok(());
            }
            if left.is_zero() {
                return Err(answer.err().unwrap_or(GuestError::TimedOut(limit)));
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Whether the agent answers at once.
    pub(crate) async fn is_healthy(self, limit: Duration) -> bool {
        self.ask("/health", limit, limit).await.is_ok()
    }

    /// Tells the agent who it is.
    pub(crate) async fn init(self, init: &Init, limit: Duration) -> Result<(), GuestError> {
        let body =
            serde_json::to_vec(init).map_err(|error| GuestError::Unreachable(error.to_string()))?;
        let request = self.request(Method::POST, "/init", body);
        self.exchange(request, CONNECT, limit).await.map(|_| ())
    }

    /// What the agent saw, events after the number given.
    pub(crate) async fn observe(
        self,
        after: u64,
        limit: Duration,
    ) -> Result<Observation, GuestError> {
        let body = self.ask(&format!("/observe?after={after}"), CONNECT, limit).await?;
        serde_json::from_slice(&body).map_err(|error| GuestError::Unreachable(error.to_string()))
    }

    async fn ask(
        self,
        path: &str,
        connect: Duration,
        limit: Duration,
    ) -> Result<Bytes, GuestError> {
        self.exchange(self.request(Method::GET, path, Vec::new()), connect, limit).await
    }

    fn request(self, method: Method, path: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()))
            .expect("its parts are ours and valid")
    }

    async fn exchange(
        self,
        request: Request<Full<Bytes>>,
        connect: Duration,
        limit: Duration,
    ) -> Result<Bytes, GuestError> {
        let talk = async {
            let stream =
                match timeout(connect, TcpStream::connect((self.address, CONTROL_PORT))).await {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => return Err(GuestError::Unreachable(error.to_string())),
                    Err(_) => return Err(GuestError::TimedOut(connect)),
                };
            let _ = stream.set_nodelay(true);
            // We close first, by RST once all is read. Otherwise the guest would remember each of
            // these connections for a minute, and a pause would save that.
            let _ = stream.set_zero_linger();
            converse(stream, request).await
        };
        match timeout(limit, talk).await {
            Ok(answer) => answer,
            Err(_) => Err(GuestError::TimedOut(limit)),
        }
    }
}

/// One request and its answer on a connection of their own.
async fn converse(stream: TcpStream, request: Request<Full<Bytes>>) -> Result<Bytes, GuestError> {
    let broken = |error: hyper::Error| GuestError::Unreachable(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answer = async move {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| GuestError::Unreachable(error.to_string()))?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(GuestError::Refused(status)) }
    };
    let (mut answer, connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It may end before its last bytes are read from it; what was received is still there.
        _ = connection => answer.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_guest_that_is_not_there_is_given_up_in_time() {
        let guest = Guest::at(Ipv4Addr::LOCALHOST);
        let began = Instant::now();
        let limit = Duration::from_millis(100);
        assert!(guest.wait_until_up(limit).await.is_err());
        assert!(began.elapsed() >= limit && began.elapsed() < limit * 10, "{:?}", began.elapsed());
    }
}
