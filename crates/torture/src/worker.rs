//! One sandbox after another: counts up inside it, pauses, resumes and compares.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use overwinter_client::{
    Client, ClientError, CreateOptions, Durability, OnTimeout, Sandbox, SandboxState,
};
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::sync::watch;

use crate::tally::{Tally, add};

/// How long anything may stay unanswered, restarts of the server included, before it is stuck.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a single call may take, so that one that was lost is asked again.
const CALL: Duration = Duration::from_secs(30);

/// A sandbox, and what is known of its contents.
struct Subject {
    id: String,
    /// The last value that was written, as far as is known.
    written: u64,
    /// The value that the last acknowledged pause holds; none before the first.
    saved: Option<u64>,
    /// When the value was known last.
    known_at: Instant,
}

/// What a resume showed.
enum Outcome {
    Continues,
    Gone,
}

#[derive(Debug)]
pub(crate) struct Worker {
    client: Client,
    tally: Arc<Tally>,
    rng: StdRng,
}

impl Worker {
    pub(crate) fn new(client: Client, tally: Arc<Tally>, rng: StdRng) -> Self {
        Self { client, tally, rng }
    }

    /// Goes on until it is stopped.
    pub(crate) async fn run(mut self, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let Some(mut subject) = self.create().await else { return };
            while !*stopped.borrow() {
                match self.cycle(&mut subject).await {
                    Some(Outcome::Continues) if self.rng.random_ratio(1, 25) => break,
                    Some(Outcome::Continues) => {}
                    Some(Outcome::Gone) | None => break,
                }
            }
            self.kill(&subject).await;
        }
    }

    async fn create(&mut self) -> Option<Subject> {
        let options = CreateOptions {
            timeout: Some(Duration::from_secs(300)),
            on_timeout: OnTimeout::Pause,
            ..CreateOptions::default()
        };
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let call = tokio::time::timeout(CALL, self.client.create(options.clone()));
            if let Ok(Ok(sandbox)) = call.await {
                add(&self.tally.created);
                let id = sandbox.id().to_owned();
                return Some(Subject { id, written: 0, saved: None, known_at: Instant::now() });
            }
            add(&self.tally.unanswered);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.tally.stuck(format!("no sandbox could be created for {PATIENCE:?}"));
        None
    }

    fn kills(&self) -> u64 {
        self.tally.sandbox_kills.load(Ordering::SeqCst)
    }

    /// The levels that need no object store; the usual one as often as the others together.
    fn any_level(&mut self) -> Option<Durability> {
        match self.rng.random_range(0..4) {
            0 => Some(Durability::Frozen),
            1 => Some(Durability::Captured),
            _ => None,
        }
    }

    /// Writes, pauses, resumes, compares; none if the sandbox is stuck.
    async fn cycle(&mut self, subject: &mut Subject) -> Option<Outcome> {
        let next = subject.written + 1;
        let Some(sandbox) = self.connect(subject).await? else { return Some(Outcome::Gone) };
        let code = format!("x = {next}\nwith open('/home/user/x', 'w') as f: _ = f.write(str(x))");
        match tokio::time::timeout(CALL, sandbox.code().run(code)).await {
            Ok(Ok(execution)) if execution.error.is_none() => subject.written = next,
            // It may have run or not: what is there now is read below, and either is right.
            _ => {
                add(&self.tally.unanswered);
                return self.check(subject, &[next]).await;
            }
        }
        self.pause(subject).await?;
        let outcome = self.check(subject, &[]).await;
        add(&self.tally.cycles);
        outcome
    }

    /// Pauses, by request or by timeout; none if that never comes to an end.
    async fn pause(&mut self, subject: &mut Subject) -> Option<()> {
        let value = subject.written;
        let kills = self.kills();
        let began = Instant::now();
        if self.rng.random_ratio(1, 6) {
            if self.pause_by_timeout(&subject.id).await && self.kills() == kills {
                subject.saved = Some(value);
                add(&self.tally.by_timeout);
            }
            return Some(());
        }
        let level = self.any_level();
        match tokio::time::timeout(CALL, self.client.pause(&subject.id, level)).await {
            Ok(Ok(report)) if report.paused => {
                self.tally.paused_in(began.elapsed());
                // What is only frozen may be lost with its process, and with nothing else.
                if report.durability != Some(Durability::Frozen) {
                    subject.saved = Some(value);
                }
            }
            _ => add(&self.tally.unanswered),
        }
        Some(())
    }

    /// Whether the sandbox was seen paused after its timeout ended.
    async fn pause_by_timeout(&self, id: &str) -> bool {
        let set = tokio::time::timeout(CALL, self.client.set_timeout(id, Duration::ZERO)).await;
        if !matches!(set, Ok(Ok(()))) {
            return false;
        }
        let began = Instant::now();
        while began.elapsed() < CALL {
            if let Ok(Ok(info)) = tokio::time::timeout(CALL, self.client.info(id)).await
                && info.state == SandboxState::Paused
                && info.last_transition.is_some_and(|last| last.kind == "paused")
            {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Connects until it is answered: `Some(None)` if the sandbox is gone, none if it is stuck.
    async fn connect(&self, subject: &Subject) -> Option<Option<Sandbox>> {
        let began = Instant::now();
        let mut last = String::new();
        while began.elapsed() < PATIENCE {
            let call = self.client.connect(&subject.id, Some(Duration::from_secs(300)));
            match tokio::time::timeout(CALL, call).await {
                Ok(Ok(sandbox)) => return Some(Some(sandbox)),
                Ok(Err(ClientError::NotFound { message })) => {
                    self.gone(subject, &message);
                    return Some(None);
                }
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = format!("no answer within {CALL:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.tally.stuck(format!("connect to {} for {PATIENCE:?}: {last}", subject.id));
        None
    }

    fn gone(&self, subject: &Subject, message: &str) {
        if let Some(saved) = subject.saved {
            self.tally.lost(format!("{} held {saved} and is not found: {message}", subject.id));
        } else if self.tally.may_have_hit_since(subject.known_at) {
            add(&self.tally.gone_unpaused);
        } else {
            let id = &subject.id;
            self.tally.problem(format!("{id} is not found, and nothing of it was killed"));
        }
    }

    /// Resumes and compares what is there with what was written; `also` may be there too.
    async fn check(&mut self, subject: &mut Subject, also: &[u64]) -> Option<Outcome> {
        let began = Instant::now();
        let mut last = String::new();
        while began.elapsed() < PATIENCE {
            let resuming = Instant::now();
            let Some(sandbox) = self.connect(subject).await? else { return Some(Outcome::Gone) };
            let code = "print(globals().get('x', 0))\nimport os\n\
                        print(open('/home/user/x').read() if os.path.exists('/home/user/x') else 0)";
            match tokio::time::timeout(CALL, sandbox.code().run(code)).await {
                Ok(Ok(execution)) if execution.error.is_none() => {
                    self.tally.resumed_in(resuming.elapsed());
                    return Some(self.compare(subject, also, &execution.stdout()));
                }
                Ok(Ok(execution)) => last = format!("{:?}", execution.error),
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = format!("no answer within {CALL:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.tally.stuck(format!("code in {} for {PATIENCE:?}: {last}", subject.id));
        None
    }

    fn compare(&self, subject: &mut Subject, also: &[u64], printed: &str) -> Outcome {
        let values: Vec<u64> =
            printed.lines().filter_map(|line| line.trim().parse().ok()).collect();
        let hit = self.tally.may_have_hit_since(subject.known_at);
        let lowest = if hit { subject.saved.unwrap_or(0) } else { subject.written };
        let highest = also.iter().copied().max().unwrap_or(subject.written).max(subject.written);
        match values.as_slice() {
            [memory, file] if also.is_empty() && memory != file => self.tally.lost(format!(
                "{}: memory holds {memory} and the file {file}: they are of two moments",
                subject.id
            )),
            [memory, _] if (lowest..=highest).contains(memory) => {
                if *memory < subject.written {
                    add(&self.tally.fell_back);
                }
                subject.written = *memory;
                subject.known_at = Instant::now();
                if subject.saved.is_some_and(|saved| saved > *memory) {
                    subject.saved = Some(*memory);
                }
            }
            _ => self.tally.lost(format!(
                "{} holds {printed:?}, expected {lowest} to {highest} (saved {:?}, sandboxes killed \
                 since: {hit})",
                subject.id, subject.saved
            )),
        }
        Outcome::Continues
    }

    async fn kill(&self, subject: &Subject) {
        let began = Instant::now();
        let mut last = String::new();
        while began.elapsed() < PATIENCE {
            match tokio::time::timeout(CALL, self.client.kill(&subject.id)).await {
                Ok(Ok(_)) => {
                    add(&self.tally.killed);
                    return;
                }
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = format!("no answer within {CALL:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.tally.stuck(format!("kill {} for {PATIENCE:?}: {last}", subject.id));
    }
}
