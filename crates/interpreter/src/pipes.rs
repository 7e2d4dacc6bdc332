//! Named pipes for what a kernel prints, for kernels that lose output that is not read at once.
//!
//! Deno's kernel publishes every `console.log` as a message of its own, and drops those that its
//! socket does not take: of a million lines a quarter arrived. Java's does the same. R's keeps all
//! of it until an expression ends. A pipe makes them wait instead.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tokio::net::unix::pipe::{OpenOptions, Receiver, Sender};
use tokio::time::{Instant, sleep_until};

use crate::host::Host;

/// How much is read at once: the capacity of a pipe.
const CHUNK_BYTES: usize = 64 * 1024;

/// After two reads of less than this, what follows is gathered before it is read.
const FEW_BYTES: usize = 4 * 1024;

/// For how long: a program that prints many short lines would otherwise stop at each one, for this
/// process to read it. Short, because a pipe may fill meanwhile, and then the program waits.
const GATHER: Duration = Duration::from_millis(1);

/// The names of the streams, and of the pipes.
const NAMES: [&str; 2] = ["stdout", "stderr"];

/// The name of the pipe that tells of results.
const TAKEN: &str = "taken";

/// Tells a kernel, by a byte in a pipe, that a result was taken, for kernels that wait for it before
/// they go on: what they print then would overtake the result otherwise.
#[derive(Debug)]
pub(crate) struct Taken(Sender);

impl Taken {
    /// Makes the pipe in the directory of a kernel.
    pub(crate) fn create(dir: &Path, host: &Host) -> io::Result<Self> {
        let path = make_fifo(dir, TAKEN, host)?;
        // Open for reading too, so that it need not be opened in any order.
        Ok(Self(OpenOptions::new().read_write(true).open_sender(path)?))
    }

    pub(crate) fn tell(&self) {
        // A kernel that left so many unread does not wait for another.
        let _ = self.0.try_write(b".");
    }
}

fn make_fifo(dir: &Path, name: &str, host: &Host) -> io::Result<PathBuf> {
    let path = dir.join(name);
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    host.give(&path)?;
    Ok(path)
}

/// The reading ends of a kernel's pipes.
#[derive(Debug)]
pub(crate) struct Pipes([Pipe; 2]);

#[derive(Debug)]
struct Pipe {
    receiver: Receiver,
    name: &'static str,
    /// The beginning of a character whose end was not read yet.
    partial: Vec<u8>,
    /// Whether the last read was a short one.
    few: bool,
    /// Until when what is printed is gathered.
    gather_until: Instant,
}

impl Pipes {
    /// Makes the pipes in the directory of a kernel.
    pub(crate) fn create(dir: &Path, host: &Host) -> io::Result<Self> {
        let [stdout, stderr] = NAMES;
        Ok(Self([Pipe::create(dir, stdout, host)?, Pipe::create(dir, stderr, host)?]))
    }

    /// The next thing printed, and where: `stdout` or `stderr`.
    pub(crate) async fn next(&mut self) -> (&'static str, String) {
        let [stdout, stderr] = &mut self.0;
        loop {
            let pipe = tokio::select! {
                () = stdout.ready() => &mut *stdout,
                () = stderr.ready() => &mut *stderr,
            };
            if let Some(text) = pipe.read() {
                return (pipe.name, text);
            }
        }
    }

    /// All that has been printed and not been read.
    pub(crate) fn rest(&mut self) -> Vec<(&'static str, String)> {
        let read = self.0.iter_mut().map(|pipe| (pipe.name, pipe.read()));
        read.filter_map(|(name, text)| text.map(|text| (name, text))).collect()
    }
}

impl Pipe {
    fn create(dir: &Path, name: &'static str, host: &Host) -> io::Result<Self> {
        let path = make_fifo(dir, name, host)?;
        // Open for writing too, so that it never ends.
        let receiver = OpenOptions::new().read_write(true).open_receiver(&path)?;
        Ok(Self { receiver, name, partial: Vec::new(), few: false, gather_until: Instant::now() })
    }

    /// Waits until it is time to read.
    async fn ready(&self) {
        sleep_until(self.gather_until).await;
        // An error is found by the read.
        let _ = self.receiver.readable().await;
    }

    /// What is there, in whole characters; none if nothing is.
    fn read(&mut self) -> Option<String> {
        let mut bytes = std::mem::take(&mut self.partial);
        let start = bytes.len();
        bytes.resize(start + CHUNK_BYTES, 0);
        let count = self.receiver.try_read(&mut bytes[start..]).unwrap_or(0);
        bytes.truncate(start + count);
        if count > 0 {
            let few = count < FEW_BYTES;
            let were_few = std::mem::replace(&mut self.few, few);
            if few && were_few {
                self.gather_until = Instant::now() + GATHER;
            }
        }
        self.partial = bytes.split_off(whole_characters(&bytes));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (!text.is_empty()).then_some(text)
    }
}

/// How many bytes to take so that no character is cut at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    for (index, byte) in bytes.iter().enumerate().skip(tail).rev() {
        let length = match byte {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            0x80..=0xBF => continue,
            _ => 1,
        };
        return if index + length > bytes.len() { index } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_not_cut() {
        for text in ["aä", "a€", "a😀", "abc"] {
            let bytes = text.as_bytes();
            assert_eq!(whole_characters(bytes), bytes.len());
        }
        assert_eq!(whole_characters(&"aä".as_bytes()[..2]), 1);
        assert_eq!(whole_characters(&"a€".as_bytes()[..3]), 1);
        assert_eq!(whole_characters(&"a😀".as_bytes()[..4]), 1);
        // What is not UTF-8 at all is not waited for.
        assert_eq!(whole_characters(&[0x80; 5]), 5);
    }
}
