//! From a kernel to its WGSL text: the fragments joined as they are, and where each line came from.

use std::collections::HashMap;

use crate::gpu::fragment::{FRAGMENTS, Fragment};
use crate::gpu::kernel::Kernel;

/// The shaders' sources: those that the crate was built with, or with some of them replaced, to
/// try a change without building anew.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    replaced: HashMap<&'static str, String>,
}

impl Sources {
    /// Replaces the text of a fragment by its name. A name that none has is ignored.
    #[must_use]
    pub fn replace(mut self, name: &str, text: impl Into<String>) -> Self {
        if let Some(fragment) = FRAGMENTS.iter().find(|fragment| fragment.name == name) {
            self.replaced.insert(fragment.name, text.into());
        }
        self
    }

    /// Whether no text was replaced.
    pub fn are_original(&self) -> bool {
        self.replaced.is_empty()
    }

    /// The text of a fragment.
    pub fn text<'a>(&'a self, fragment: &Fragment) -> &'a str {
        self.replaced.get(fragment.name).map_or(fragment.source().0, String::as_str)
    }
}

/// A kernel's WGSL.
#[derive(Debug, Clone)]
pub struct Composed {
    /// The text.
    pub source: String,
    /// The line, from 1, at which each fragment's text starts, and where that is in which file.
    starts: Vec<(u32, (&'static str, u32))>,
}

impl Composed {
    /// The file and the line in it that a line of the whole text came from, both from 1.
    pub fn origin(&self, line: u32) -> (&'static str, u32) {
        let at = self.starts.partition_point(|(start, _)| *start <= line);
        match at.checked_sub(1).map(|i| self.starts[i]) {
            Some((start, (file, first))) => (file, line - start + first),
            None => ("(composed text)", line),
        }
    }
}

/// How a binding is declared that is only read, and one that is written as well.
const READ: &str = "var<storage, read>";
const READ_WRITE: &str = "var<storage, read_write>";

/// Joins the fragments of a kernel. The one change ever made to a text: where matrices share a
/// buffer, what is declared for reading is declared for both.
pub fn compose(kernel: &Kernel, sources: &Sources) -> Composed {
    let mut composed = Composed { source: String::new(), starts: Vec::new() };
    let mut lines = 0;
    for fragment in kernel.fragments() {
        let text = sources.text(fragment);
        composed.source.push_str("// ---- shaders/");
        composed.source.push_str(fragment.file);
        composed.source.push_str(": ");
        composed.source.push_str(fragment.name);
        composed.source.push_str(" ----\n");
        if kernel.is_shared() {
            composed.source.push_str(&text.replace(READ, READ_WRITE));
        } else {
            composed.source.push_str(text);
        }
        composed.starts.push((lines + 2, (fragment.file, fragment.source().1)));
        lines += 1 + text.lines().count() as u32;
    }
    composed
}
