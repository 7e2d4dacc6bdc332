//! What a kernel says about an execution, as the lines that its client gets.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::client::Client;
use crate::fence::{Fence, Signs};
use crate::java;
use crate::kernel::{Kernel, is_idle};
use crate::language::Language;
use crate::message::Message;
use crate::output;
use crate::pipes::Pipes;

/// Turns the messages of one execution into lines, and finds its end.
pub(crate) struct Translator {
    pub(crate) client: Client,
    /// The request whose execution this is.
    id: String,
    language: Language,
    code: String,
    /// Executions that the kernel counted though nobody should know of them.
    uncounted: u64,
    signs: Signs,
    fence: Fence,
    reply: Option<Message>,
    errored: bool,
    /// What was displayed last, where only what follows tells whether it is the main result.
    shown: Option<Map<String, Value>>,
}

impl Translator {
    pub(crate) fn new(
        client: Client,
        id: String,
        language: Language,
        code: String,
        uncounted: u64,
    ) -> Self {
        Self {
            client,
            id,
            language,
            code,
            uncounted,
            signs: Signs::default(),
            fence: Fence::new(language.fence_code("").is_some()),
            reply: None,
            errored: false,
            shown: None,
        }
    }

    /// True once the execution is over and all output has come; sends the fence that tells.
    pub(crate) async fn is_complete(&mut self, kernel: &mut Kernel) -> bool {
        self.signs.both() && self.passed_fence(kernel).await
    }

    /// When a sign of the end is given up that has not come.
    pub(crate) fn patience_ends(&self) -> Option<Instant> {
        self.signs.deadline().into_iter().chain(self.fence.deadline()).min()
    }

    /// Gives up what has not come in time.
    pub(crate) fn give_up(&mut self) {
        let now = Instant::now();
        if self.signs.deadline().is_some_and(|deadline| deadline <= now) {
            self.signs.give_up();
        }
        if self.fence.deadline().is_some_and(|deadline| deadline <= now) {
            self.fence = Fence::Passed;
        }
    }

    /// Waits longer for the signs of the end: nothing was read while the client was slow.
    pub(crate) fn client_was_slow(&mut self) {
        self.signs.put_off();
    }

    /// Passes on what was printed.
    pub(crate) fn printed(&mut self, kind: &str, text: &str) {
        self.push(output::printed(kind, text));
    }

    fn drain(&mut self, pipes: &mut Option<Pipes>) {
        for (kind, text) in pipes.iter_mut().flat_map(Pipes::rest) {
            self.printed(kind, &text);
        }
    }

    fn push(&mut self, line: Bytes) {
        self.signs.put_off();
        self.tell_shown(false);
        self.client.push(line);
    }

    /// Passes on what was displayed last.
    fn tell_shown(&mut self, is_main: bool) {
        if let Some(data) = self.shown.take() {
            self.client.push(output::result(data, is_main));
        }
    }

    async fn passed_fence(&mut self, kernel: &mut Kernel) -> bool {
        match &self.fence {
            Fence::NotNeeded | Fence::Passed => return true,
            Fence::Sent { .. } => return false,
            Fence::Needed => {}
        }
        let failed = self.reply.as_ref().is_some_and(|reply| reply.text("status") == "error");
        let Some(code) = self.language.fence_code(if failed { &self.code } else { "" }) else {
            return true;
        };
        match kernel.ask_silently(&code).await {
            Ok(id) => self.fence = Fence::Sent { id, deadline: None },
            // The kernel is about to be found dead.
            Err(_) => self.fence = Fence::Passed,
        }
        false
    }

    /// The kernel's answer to a request, which is given back if it is another's.
    pub(crate) fn take_reply(&mut self, reply: Message) -> Result<(), Message> {
        if reply.parent == self.id {
            self.reply = Some(reply);
            self.signs.replied();
        } else if self.fence.is(&reply.parent) {
            self.fence.answered();
        } else {
            return Err(reply);
        }
        Ok(())
    }

    /// Finds out whether a message belongs to this execution.
    ///
    /// What was printed before it comes before it: the kernel had written that to its pipes when it
    /// published the message.
    pub(crate) fn sort(&mut self, message: Message, pipes: &mut Option<Pipes>) {
        if matches!(message.kind.as_str(), "display_data" | "execute_result" | "error") {
            self.drain(pipes);
        }
        let is_fence = self.fence.is(&message.parent);
        if message.kind == "overwinter_fence" {
            if is_fence {
                self.fence = Fence::Passed;
                self.explain(&message);
            }
        } else if message.parent == self.id
            || (is_fence && matches!(message.kind.as_str(), "stream" | "display_data"))
        {
            self.take(message);
        }
    }

    /// The fence may know more of an error than the kernel said.
    fn explain(&mut self, fence: &Message) {
        if let Some(content) = fence.content.get("error").filter(|error| error.is_object())
            && let Some(reply) = &mut self.reply
            && reply.text("traceback").is_empty()
            && reply.content.get("traceback").and_then(Value::as_array).is_none_or(Vec::is_empty)
        {
            reply.content["ename"] = content["name"].clone();
            reply.content["evalue"] = content["value"].clone();
            reply.content["traceback"] = json!([content["traceback"]]);
        }
    }

    /// A message of this execution.
    fn take(&mut self, mut message: Message) {
        match message.kind.as_str() {
            "stream" => {
                let kind = if message.text("name") == "stderr" { "stderr" } else { "stdout" };
                self.push(output::printed(kind, message.text("text")));
            }
            "display_data" | "update_display_data" | "execute_result" => {
                let is_main = message.kind == "execute_result";
                if let Some(Value::Object(data)) = message.content.get_mut("data").map(Value::take)
                {
                    self.take_data(data, is_main);
                }
            }
            "error" => self.take_error(&message),
            "execute_input" => {
                let count = message.content.get("execution_count").and_then(Value::as_u64);
                let count = count.unwrap_or_default().saturating_sub(self.uncounted);
                self.push(output::number_of_executions(count));
            }
            "status" if is_idle(&message) => self.signs.idle(),
            _ => {}
        }
    }

    fn take_data(&mut self, data: Map<String, Value>, is_main: bool) {
        let is_picture = data.keys().any(|mime| mime.starts_with("image/"));
        if self.language.displays_results() && is_picture {
            // Comes late: a plot may grow until the next one begins, or the execution ends.
            self.signs.put_off();
            self.client.push(output::result(data, is_main));
        } else if self.language.displays_results() {
            self.signs.put_off();
            self.tell_shown(false);
            self.shown = Some(data);
        } else {
            self.push(output::result(data, is_main));
        }
    }

    fn take_error(&mut self, message: &Message) {
        if std::mem::replace(&mut self.errored, true) {
            return;
        }
        let traceback = match message.content.get("traceback") {
            Some(Value::Array(lines)) => {
                lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
            }
            _ => String::new(),
        };
        let (name, value) = (message.text("ename"), message.text("evalue"));
        let (name, value) = match self.language {
            Language::Java => java::error(name, value, &traceback),
            _ => (name.to_owned(), value.to_owned()),
        };
        self.push(output::error(&name, &value, &traceback));
    }

    /// Ends the client's stream.
    pub(crate) async fn finish(&mut self, kernel: &mut Kernel) {
        self.drain(&mut kernel.pipes);
        let status = self.reply.as_ref().map_or("aborted", |reply| reply.text("status")).to_owned();
        self.tell_shown(!self.errored && status == "ok");
        match (status.as_str(), self.reply.take()) {
            ("error", Some(reply)) => self.take_error(&reply),
            ("aborted" | "abort", _) if !self.errored => {
                self.push(output::error("ExecutionAborted", "The kernel gave no answer", ""));
            }
            _ => {}
        }
        self.push(Bytes::from_static(output::END));
        self.client.serve_all().await;
    }
}
