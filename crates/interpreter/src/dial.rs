//! Where a kernel listens, and the connections to it.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::host::{Host, random_hex};
use crate::kernel::is_idle;
use crate::language::Language;
use crate::message::{Message, Session};
use crate::pipes::Taken;
use crate::zmtp::{self, Endpoint, Reader, SocketType, Writer};

/// Messages of a kernel that wait to be handled; beyond, the kernel waits.
const WAITING_MESSAGES: usize = 4;

/// The same for a kernel that does not wait, but drops what is not read at once.
const WAITING_MESSAGES_OF_DROPPER: usize = 4096;

/// Where the channels of a kernel are.
pub(crate) struct Addresses {
    pub(crate) connection_file: PathBuf,
    shell: Endpoint,
    published: Endpoint,
    control: Endpoint,
    key: String,
}

/// Chooses addresses and writes them where the kernel reads them.
pub(crate) fn addresses(language: Language, dir: &Path) -> io::Result<Addresses> {
    let key = random_hex();
    let connection_file = dir.join("connection.json");
    let (transport, ip, ports) = if language.speaks_ipc() {
        ("ipc", dir.join("s").display().to_string(), [1, 2, 3, 4, 5])
    } else {
        ("tcp", "127.0.0.1".to_owned(), free_ports()?)
    };
    let content = json!({
        "transport": transport, "ip": ip, "key": key, "signature_scheme": "hmac-sha256",
        "shell_port": ports[0], "iopub_port": ports[1], "control_port": ports[2],
        "stdin_port": ports[3], "hb_port": ports[4], "kernel_name": language.name(),
    });
    fs::write(&connection_file, content.to_string())?;
    let endpoint = |port: u16| match transport {
        "ipc" => Endpoint::Ipc(dir.join(format!("s-{port}"))),
        _ => Endpoint::Tcp(port),
    };
    Ok(Addresses {
        connection_file,
        shell: endpoint(ports[0]),
        published: endpoint(ports[1]),
        control: endpoint(ports[2]),
        key,
    })
}

/// Five ports that are free now. Another program may take one before the kernel does; then the
/// kernel ends, and it is started anew.
fn free_ports() -> io::Result<[u16; 5]> {
    let mut ports = [0; 5];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// The connections to a kernel.
pub(crate) struct Dialled {
    pub(crate) session: Session,
    pub(crate) shell: Writer,
    pub(crate) control: Writer,
    pub(crate) published: mpsc::Receiver<Message>,
    pub(crate) replies: mpsc::Receiver<Message>,
    pub(crate) readers: DropGuard,
}

/// Connects as soon as the kernel listens, and returns once what it publishes arrives.
pub(crate) async fn dial(
    addresses: &Addresses,
    language: Language,
    host: &Host,
    tracker: &TaskTracker,
    taken: Option<Taken>,
) -> io::Result<Dialled> {
    let (published_reader, subscription) =
        connect_when_up(&addresses.published, SocketType::Subscriber).await?;
    let (shell_reader, shell) = connect_when_up(&addresses.shell, SocketType::Dealer).await?;
    let (control_reader, control) = connect_when_up(&addresses.control, SocketType::Dealer).await?;

    let waiting =
        if language.drops_output() { WAITING_MESSAGES_OF_DROPPER } else { WAITING_MESSAGES };
    let stop = CancellationToken::new();
    let (published_sender, published) = mpsc::channel(waiting);
    let (replies_sender, replies) = mpsc::channel(WAITING_MESSAGES);
    for (reader, sender, taken) in [
        (published_reader, published_sender, taken),
        (shell_reader, replies_sender.clone(), None),
        (control_reader, replies_sender, None),
    ] {
        let stop = stop.clone();
        tracker.spawn(async move {
            stop.run_until_cancelled(read(reader, sender, taken)).await;
        });
    }
    // Closing the writing half would close the subscription.
    let held = stop.clone();
    tracker.spawn(async move {
        held.cancelled().await;
        drop(subscription);
    });

    let session = Session::new(random_hex(), addresses.key.clone(), host.config.user.clone());
    let readers = stop.drop_guard();
    let mut dialled = Dialled { session, shell, control, published, replies, readers };
    dialled.wait_until_heard().await?;
    Ok(dialled)
}

impl Dialled {
    /// Asks until what the kernel publishes arrives: a subscription takes effect some time after
    /// it was sent.
    async fn wait_until_heard(&mut self) -> io::Result<()> {
        let mut patience = Duration::from_millis(50);
        loop {
            let (id, frames) = self.session.request("kernel_info_request", &json!({}));
            send(&mut self.shell, &frames).await?;
            let deadline = Instant::now() + patience;
            loop {
                let next = async {
                    tokio::select! {
                        message = self.published.recv() => message.map(|message| is_idle(&message).then_some(message)),
                        message = self.replies.recv() => message.map(|_| None),
                    }
                };
                match timeout_at(deadline, next).await {
                    Err(_) => break,
                    Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(Some(Some(message))) if message.parent == id => return Ok(()),
                    Ok(Some(_)) => {}
                }
            }
            patience = (patience * 2).min(Duration::from_secs(2));
        }
    }
}

/// Connects; while nothing listens yet, tries again.
async fn connect_when_up(
    endpoint: &Endpoint,
    socket_type: SocketType,
) -> io::Result<(Reader, Writer)> {
    loop {
        match zmtp::connect(endpoint, socket_type).await {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::UnexpectedEof
                ) =>
            {
                sleep(Duration::from_millis(5)).await;
            }
            result => return result,
        }
    }
}

/// Passes messages on until the kernel or the receiver is gone.
async fn read(mut reader: Reader, sender: mpsc::Sender<Message>, taken: Option<Taken>) {
    while let Ok(frames) = reader.receive().await {
        let Some(message) = Message::parse(&frames) else { continue };
        let taken = taken.as_ref().filter(|_| message.kind == "display_data");
        if sender.send(message).await.is_err() {
            return;
        }
        if let Some(taken) = taken {
            taken.tell();
        }
    }
}

pub(crate) async fn send(writer: &mut Writer, frames: &[Vec<u8>]) -> io::Result<()> {
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    writer.send(&frames).await
}
