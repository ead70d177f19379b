//! `exec`: a command in the sandbox, as if it ran here.

use std::io::{self, IsTerminal, Read, Write};

use sandbox_shared::files::{ExecEvent, ExecRequest};

use super::{Context, Done};
use crate::{api::Answer, arguments::Exec, failure::Failure, output};

/// Exits as the command does. When this ends before, so does the command.
pub(super) async fn exec(context: &Context, arguments: Exec) -> Done {
    let stdin = if arguments.no_stdin || io::stdin().is_terminal() {
        None
    } else {
        Some(standard_input().await?)
    };
    let env = arguments.env;
    let request = ExecRequest {
        command: command_line(&arguments.command)?,
        env: (!env.is_empty()).then(|| env.into_iter().collect()),
        stdin,
        ..arguments.request
    };
    let mut events = context.api.follow(&["exec"], &request).await?;
    loop {
        let event: Answer<ExecEvent> = events.next().await?;
        if context.json {
            output::print_json(&event.json)?;
        }
        match event.value {
            ExecEvent::Stdout { data } if !context.json => output::print(&data)?,
            ExecEvent::Stderr { data } if !context.json => io::stderr()
                .write_all(data.as_bytes())
                .map_err(Failure::local("standard error"))?,
            ExecEvent::Exit { exit_code, .. } => {
                // A shell's codes are bytes.
                return Ok(u8::try_from(exit_code).unwrap_or(u8::MAX).into());
            }
            _ => {}
        }
    }
}

/// One word is for the shell as it is; of several, each is one argument.
fn command_line(words: &[String]) -> Result<String, Failure> {
    match words {
        [line] => Ok(line.clone()),
        words => shlex::try_join(words.iter().map(String::as_str))
            .map_err(|error| Failure::Usage(error.to_string())),
    }
}

async fn standard_input() -> Result<String, Failure> {
    const WHAT: &str = "standard input";
    let read = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    });
    read.await
        .map_err(|error| Failure::local(WHAT)(io::Error::other(error)))?
        .map_err(Failure::local(WHAT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_stay_what_they_are() {
        let line = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            command_line(&words).unwrap()
        };
        assert_eq!(line(&["ls | wc -l"]), "ls | wc -l");
        assert_eq!(
            line(&["echo", "a b", "$HOME", "it's"]),
            r#"echo 'a b' '$HOME' "it's""#
        );
    }
}
