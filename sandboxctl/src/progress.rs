//! How far an operation is, on standard error if that is a terminal.

use std::time::Duration;

use indicatif::{
    HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle,
};
use sandbox_shared::progress::{Operation, Phase};

/// How often what turns is turned.
const TURN: Duration = Duration::from_millis(120);

/// A line that is drawn over and over, and cleared in the end.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A line that says what is waited for.
    pub(crate) fn show(quiet: bool, message: &'static str) -> Self {
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            // Hidden by itself where it is no terminal.
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style("{spinner} {msg}"));
        bar.set_message(message);
        bar.enable_steady_tick(TURN);
        Self(bar)
    }

    /// Shows how far it is.
    pub(crate) fn update(&self, operation: &Operation) {
        let Some(total) = operation.bytes_total else {
            self.0
                .set_message(match (operation.phase, operation.backup) {
                    (Phase::Scanning, Some(backup)) => {
                        format!("scanning: {} entries", HumanCount(backup.entries_scanned))
                    }
                    (phase, _) => phase.as_str().to_owned(),
                });
            return;
        };
        if self.0.length().is_none() {
            self.0.set_style(style(
                "{spinner} {prefix} {bar:20} {binary_bytes}/{binary_total_bytes} {msg}",
            ));
        }
        self.0.set_prefix(operation.phase.as_str());
        self.0.set_length(total);
        self.0.set_position(operation.bytes_done);
        let rate = operation
            .bytes_per_second
            .map(|rate| format!("{}/s", HumanBytes(rate)));
        let left = operation
            .seconds_left
            .filter(|_| operation.bytes_done < total)
            .map(|seconds| format!("{:#} left", HumanDuration(Duration::from_secs(seconds))));
        let details: Vec<_> = [rate, left].into_iter().flatten().collect();
        self.0.set_message(details.join(", "));
    }

    /// Shows that it is being ended.
    pub(crate) fn ending(&self) {
        self.0.set_style(style("{spinner} {msg}"));
        self.0.set_message("cancelling; once more to leave at once");
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours; a mistake in one would cost its looks only.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
