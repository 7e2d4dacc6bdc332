//! An execution that runs: from the kernel's messages to the client's lines.

use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::ProcessSignal;
use crate::departure::{BEAT, Departure, Reason, TICK};
use crate::driver::Command;
use crate::keeper::hex;
use crate::kernel::{Kernel, KernelError};
use crate::language::{Interrupt, Language};
use crate::message::Message;
use crate::output;
use crate::translate::Translator;

/// How long an interrupted kernel may take before it is interrupted again.
const INTERRUPT_AGAIN: Duration = Duration::from_secs(2);

/// After this many interrupts the kernel is ended instead.
const MOST_INTERRUPTS: u32 = 5;

/// How long output may still arrive after the end of a kernel.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How an execution ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself; the client has its last line.
    Completely,
    /// Because its client left. By force: the kernel must be ended.
    Interrupted { by_force: bool },
    /// Because the context is to be restarted.
    Restarted { done: oneshot::Sender<Result<(), KernelError>> },
    /// Because the kernel ended.
    KernelLost { how: String },
}

/// The state of an execution.
pub(crate) struct Running {
    language: Language,
    translator: Translator,
    departure: Departure,
    /// When to look whether the client left by its own will, or to interrupt again.
    interrupt_at: Option<Instant>,
    interrupts: u32,
    /// A seed that the kernel could not take while it ran.
    pub(crate) seed: Option<[u8; 32]>,
    /// Seeds that the kernel was given, by the id of the request.
    reseeds: Vec<(String, oneshot::Sender<()>)>,
}

impl Running {
    /// An execution that the kernel was asked for. `restores` grows when the sandbox is restored.
    pub(crate) fn new(
        language: Language,
        translator: Translator,
        restores: watch::Receiver<u64>,
    ) -> Self {
        Self {
            language,
            translator,
            departure: Departure::new(restores),
            interrupt_at: None,
            interrupts: 0,
            seed: None,
            reseeds: Vec::new(),
        }
    }

    /// Passes on what the kernel says until the execution is over.
    ///
    /// What has to happen in time comes first: a kernel that floods its client with output always
    /// has something to say.
    pub(crate) async fn watch(
        &mut self,
        kernel: &mut Kernel,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Ended {
        let mut beat = interval_at(Instant::now() + BEAT, BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut death: Option<(String, Instant)> = None;
        loop {
            let is_served = self.translator.client.is_served();
            if is_served && self.translator.is_complete(kernel).await {
                return self.finish(kernel).await;
            }
            if is_served
                && let Some((how, _)) = death.take_if(|(_, latest)| *latest <= Instant::now())
            {
                return Ended::KernelLost { how };
            }
            let patience_ends = self.translator.patience_ends();
            tokio::select! {
                biased;
                Some(command) = commands.recv() => {
                    if let Some(ended) = self.obey(command, kernel).await {
                        return ended;
                    }
                }
                _ = beat.tick() => self.beat(),
                () = until(self.interrupt_at) => {
                    if let Some(ended) = self.look_or_interrupt(kernel).await {
                        return ended;
                    }
                }
                is_there = self.translator.client.serve() => {
                    self.translator.client_was_slow();
                    if !is_there {
                        self.client_left();
                    }
                }
                reply = kernel.replies.recv(), if death.is_none() => match reply {
                    Some(reply) => self.take_reply(reply),
                    None => death = Some((kernel.process.wait().await, Instant::now())),
                },
                message = kernel.published.recv(), if is_served => match message {
                    Some(message) => self.translator.sort(message, &mut kernel.pipes),
                    // All that it said has been passed on.
                    None => return Ended::KernelLost { how: kernel.process.wait().await },
                },
                (kind, text) = Kernel::printed(&mut kernel.pipes), if is_served => {
                    self.translator.printed(kind, &text);
                }
                how = kernel.process.wait(), if death.is_none() => {
                    death = Some((how, Instant::now() + LAST_WORDS));
                }
                () = until(patience_ends), if is_served => {
                    self.translator.give_up();
                }
                () = until(death.as_ref().map(|(_, latest)| *latest)), if is_served => {}
            }
        }
    }

    fn beat(&mut self) {
        self.departure.beat();
        if self.translator.client.is_served() {
            self.translator.client.push(output::keepalive());
        }
    }

    fn take_reply(&mut self, reply: Message) {
        if let Err(reply) = self.translator.take_reply(reply)
            && let Some(at) = self.reseeds.iter().position(|(id, _)| *id == reply.parent)
        {
            let _ = self.reseeds.swap_remove(at).1.send(());
        }
    }

    async fn finish(&mut self, kernel: &mut Kernel) -> Ended {
        self.translator.finish(kernel).await;
        if self.interrupts > 0 { Ended::Interrupted { by_force: false } } else { Ended::Completely }
    }

    fn client_left(&mut self) {
        self.translator.client.forget();
        self.departure.beat();
        self.interrupt_at = Some(Instant::now() + TICK);
    }

    /// Time to see whether the client left, or the last interrupt had no effect.
    async fn look_or_interrupt(&mut self, kernel: &mut Kernel) -> Option<Ended> {
        self.interrupt_at = None;
        if self.interrupts == 0 {
            match self.departure.reason() {
                Reason::Left => {}
                Reason::Paused => {
                    tracing::info!("the client was lost in a pause; its execution goes on");
                    return None;
                }
                Reason::Unknown => {
                    self.interrupt_at = Some(Instant::now() + TICK);
                    return None;
                }
            }
        }
        self.interrupt(kernel).await
    }

    async fn interrupt(&mut self, kernel: &mut Kernel) -> Option<Ended> {
        self.interrupts += 1;
        let sent = match self.language.interrupt() {
            _ if self.interrupts > MOST_INTERRUPTS => false,
            Interrupt::Restart => false,
            Interrupt::Signal => kernel.process.signal(ProcessSignal::Interrupt).is_ok(),
            Interrupt::Message => kernel.ask_control("interrupt_request", &json!({})).await.is_ok(),
        };
        if !sent {
            return Some(Ended::Interrupted { by_force: true });
        }
        self.interrupt_at = Some(Instant::now() + INTERRUPT_AGAIN);
        None
    }

    async fn obey(&mut self, command: Command, kernel: &mut Kernel) -> Option<Ended> {
        match command {
            Command::Start(done) => {
                let _ = done.send(Ok(()));
            }
            Command::Restart(done) => return Some(Ended::Restarted { done }),
            Command::Reseed(seed, done) if self.language.answers_requests() => {
                let content = json!({ "seed": hex(&seed) });
                match kernel.ask_control("overwinter_request", &content).await {
                    Ok(id) => self.reseeds.push((id, done)),
                    Err(_) => self.seed = Some(seed),
                }
            }
            Command::Reseed(seed, done) => {
                self.seed = Some(seed);
                let _ = done.send(());
            }
            // Done before the next execution.
            Command::PassEnvs => {}
        }
        None
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
