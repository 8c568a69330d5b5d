//! Progress on stderr, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that does not show where there is no terminal, or where quiet is asked for.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar that shows nothing yet.
    pub fn new(quiet: Quiet) -> Self {
        let bar =
            if quiet == Quiet::Yes { ProgressBar::hidden() } else { ProgressBar::no_length() };
        // A style that does not parse would only cost the looks.
        if let Ok(style) =
            ProgressStyle::with_template("{msg:>9} {wide_bar} {bytes} of {total_bytes}")
        {
            bar.set_style(style);
        }
        Self { bar }
    }

    pub(crate) fn start(&self, stage: &'static str, bytes: u64) {
        self.bar.set_message(stage);
        self.bar.set_length(bytes);
        self.bar.set_position(0);
    }

    /// Shares the bar with another thread.
    pub(crate) fn handle(&self) -> Self {
        Self { bar: self.bar.clone() }
    }

    pub(crate) fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Whether the user asked for silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// Nothing is shown.
    Yes,
    /// Progress is shown where a person looks.
    No,
}

impl From<bool> for Quiet {
    fn from(quiet: bool) -> Self {
        if quiet { Self::Yes } else { Self::No }
    }
}
