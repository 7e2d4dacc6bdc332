//! What happened to each sandbox, as lines of JSON on disk.
//!
//! One task writes all journals, in order, so that no driver waits for the disk. A journal is two
//! files, the newer and the older half: when the newer is full it becomes the older. Both go with
//! the sandbox.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ow_types::{SandboxId, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::LogLine;

/// The field that holds the number of a guest's event.
pub(crate) const GUEST_EVENT: &str = "guestEvent";

/// How large half a journal becomes: some thousand lines.
const HALF_BYTES: u64 = 512 << 10;

#[derive(Debug)]
enum Order {
    Append(SandboxId, Vec<LogLine>),
    Read(SandboxId, oneshot::Sender<Vec<LogLine>>),
    Remove(SandboxId),
    List(oneshot::Sender<Vec<SandboxId>>),
    Flush(oneshot::Sender<()>),
}

/// The journals of all sandboxes.
#[derive(Debug)]
pub(crate) struct Journal {
    orders: mpsc::UnboundedSender<Order>,
}

impl Journal {
    /// Starts the task that writes.
    pub(crate) fn start(
        directory: PathBuf,
        tasks: &TaskTracker,
        abort: &CancellationToken,
    ) -> Self {
        let (orders, mut received) = mpsc::unbounded_channel();
        let (abort, files) = (abort.clone(), Files { directory });
        tasks.spawn(async move {
            let mut files = files;
            let work = async {
                while let Some(order) = received.recv().await {
                    let done = tokio::task::spawn_blocking(move || {
                        files.carry_out(order);
                        files
                    });
                    match done.await {
                        Ok(back) => files = back,
                        Err(error) => return tracing::error!(%error, "journals end here"),
                    }
                }
            };
            abort.run_until_cancelled(work).await;
        });
        Self { orders }
    }

    pub(crate) fn append(&self, id: &SandboxId, lines: Vec<LogLine>) {
        drop(self.orders.send(Order::Append(id.clone(), lines)));
    }

    pub(crate) fn remove(&self, id: &SandboxId) {
        drop(self.orders.send(Order::Remove(id.clone())));
    }

    /// Every line, oldest first.
    pub(crate) async fn read(&self, id: &SandboxId) -> Vec<LogLine> {
        let (reply, answer) = oneshot::channel();
        drop(self.orders.send(Order::Read(id.clone(), reply)));
        answer.await.unwrap_or_default()
    }

    /// When the last event of the guest was that is in the journal.
    pub(crate) async fn last_guest_event(&self, id: &SandboxId) -> Timestamp {
        let lines = self.read(id).await;
        let last = lines.iter().rev().find(|line| line.fields.contains_key(GUEST_EVENT));
        last.map(|line| line.at).unwrap_or_default()
    }

    /// Every sandbox that has a journal.
    pub(crate) async fn sandboxes(&self) -> Vec<SandboxId> {
        let (reply, answer) = oneshot::channel();
        drop(self.orders.send(Order::List(reply)));
        answer.await.unwrap_or_default()
    }

    /// Returns once everything before is in the files.
    pub(crate) async fn flush(&self) {
        let (reply, answer) = oneshot::channel();
        drop(self.orders.send(Order::Flush(reply)));
        drop(answer.await);
    }
}

/// The files; only the journals' task uses them.
#[derive(Debug)]
struct Files {
    directory: PathBuf,
}

impl Files {
    fn carry_out(&self, order: Order) {
        match order {
            Order::Append(id, lines) => {
                if let Err(error) = self.append(&id, &lines) {
                    tracing::warn!(sandbox = %id, %error, "its journal is not written");
                }
            }
            Order::Read(id, reply) => drop(reply.send(self.read(&id))),
            Order::Remove(id) => {
                for file in [self.newer(&id), self.older(&id)] {
                    remove(&file);
                }
            }
            Order::List(reply) => drop(reply.send(self.list())),
            Order::Flush(reply) => drop(reply.send(())),
        }
    }

    fn newer(&self, id: &SandboxId) -> PathBuf {
        self.directory.join(format!("{id}.jsonl"))
    }

    fn older(&self, id: &SandboxId) -> PathBuf {
        self.directory.join(format!("{id}.older.jsonl"))
    }

    fn append(&self, id: &SandboxId, lines: &[LogLine]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        // Commands are in it as they were given, with whatever secrets they name.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let newer = self.newer(id);
        let mut options = fs::OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let mut file = options.open(&newer)?;
        if file.metadata()?.len() + text.len() as u64 > HALF_BYTES {
            fs::rename(&newer, self.older(id))?;
            file = options.open(&newer)?;
        }
        file.write_all(&text)
    }

    /// A line that is no line, as after a full disk, is left out.
    fn read(&self, id: &SandboxId) -> Vec<LogLine> {
        let halves = [self.older(id), self.newer(id)];
        let texts = halves.iter().filter_map(|file| fs::read_to_string(file).ok());
        texts.flat_map(|text| lines(&text)).collect()
    }

    fn list(&self) -> Vec<SandboxId> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| name.split('.').next()?.parse().ok()).collect()
    }
}

fn lines(text: &str) -> Vec<LogLine> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn remove(file: &Path) {
    if let Err(error) = fs::remove_file(file)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(file = %file.display(), %error, "a journal is left over");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn line(at: u64, message: &str) -> LogLine {
        LogLine {
            at: Timestamp::from_unix_millis(at),
            level: "info".into(),
            message: message.into(),
            fields: BTreeMap::new(),
        }
    }

    #[test]
    fn a_journal_is_bounded_and_its_newest_lines_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files { directory: directory.path().join("logs") };
        let id = SandboxId::random();
        let long = "x".repeat(1000);
        for at in 0..3000 {
            files.append(&id, &[line(at, &long)]).unwrap();
        }
        let kept = files.read(&id);
        assert!(kept.len() > 500 && kept.len() < 1500, "{}", kept.len());
        assert_eq!(kept.last().unwrap().at, Timestamp::from_unix_millis(2999));
        assert!(kept.is_sorted_by_key(|line| line.at));
        assert_eq!(files.list(), [id.clone(), id.clone()]);
        files.carry_out(Order::Remove(id.clone()));
        assert!(files.list().is_empty() && files.read(&id).is_empty());
    }

    #[test]
    fn a_line_that_was_cut_off_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files { directory: directory.path().to_owned() };
        let id = SandboxId::random();
        files.append(&id, &[line(1, "one")]).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(files.newer(&id)).unwrap();
        file.write_all(b"{\"at\":5,\"lev\n").unwrap();
        files.append(&id, &[line(2, "two")]).unwrap();
        let messages: Vec<String> = files.read(&id).into_iter().map(|line| line.message).collect();
        assert_eq!(messages, ["one", "two"]);
    }
}
