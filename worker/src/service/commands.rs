//! Commands that run in the container.

use futures_util::{Stream, stream};
use sandbox_shared::{
    Result,
    files::{ExecEvent, ExecRequest, ExecResult, MAX_COLLECTED_OUTPUT},
    protocol::paths,
};

use super::Service;

impl Service {
    /// Runs a command to its end.
    pub async fn exec(&self, exec: &ExecRequest) -> Result<ExecResult> {
        let agent = self.agent().await?;
        let mut events = agent.events(paths::EXEC, exec).await?;
        let mut stdout = Collected::default();
        let mut stderr = Collected::default();
        loop {
            match events.next().await? {
                ExecEvent::Start { .. } | ExecEvent::Unknown => {}
                ExecEvent::Stdout { data } => stdout.push(&data),
                ExecEvent::Stderr { data } => stderr.push(&data),
                ExecEvent::Exit {
                    exit_code,
                    timed_out,
                    duration,
                } => {
                    return Ok(ExecResult {
                        success: exit_code == 0,
                        exit_code,
                        truncated: stdout.truncated || stderr.truncated,
                        stdout: stdout.text,
                        stderr: stderr.text,
                        duration,
                        timed_out,
                    });
                }
            }
        }
    }

    /// Runs a command and says what it writes, as it comes. It is killed when the
    /// events are dropped.
    pub async fn exec_events(
        &self,
        exec: &ExecRequest,
    ) -> Result<impl Stream<Item = Result<ExecEvent>> + use<>> {
        let agent = self.agent().await?;
        let events = agent.events(paths::EXEC, exec).await?;
        // The agent stays in use for as long as the stream lives.
        Ok(stream::unfold(Some((events, agent)), async |running| {
            let (mut events, agent) = running?;
            let event: Result<ExecEvent> = loop {
                match events.next().await {
                    Ok(ExecEvent::Unknown) => {}
                    event => break event,
                }
            };
            let ends = matches!(event, Ok(ExecEvent::Exit { .. }) | Err(_));
            let rest = (!ends).then_some((events, agent));
            Some((event, rest))
        }))
    }
}

/// Output of a command, as much of it as a result may hold.
#[derive(Default)]
struct Collected {
    text: String,
    truncated: bool,
}

impl Collected {
    fn push(&mut self, data: &str) {
        let room = MAX_COLLECTED_OUTPUT - self.text.len();
        let fits = data.floor_char_boundary(room);
        self.text.push_str(&data[..fits]);
        self.truncated |= fits < data.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_between_characters() {
        let mut output = Collected::default();
        output.push(&"x".repeat(MAX_COLLECTED_OUTPUT - 1));
        assert!(!output.truncated);
        output.push("é!");
        assert!(output.truncated);
        assert_eq!(output.text.len(), MAX_COLLECTED_OUTPUT - 1);
    }
}
