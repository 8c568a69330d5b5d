//! What the command line says of a file: its name, its format, and which array of it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::files::source;

/// The name of standard input and output.
const STDIO: &str = "-";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Npy,
    Safetensors,
    /// `.npy` files in a zip archive.
    Npz,
    /// That of a pipe without an ending: its first bytes tell.
    Untold,
}

/// A file name with its format, and the array in it if one is named.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    /// A tensor, or a member of an archive.
    pub(super) array: Option<String>,
}

/// Endings of files that hold arrays by name.
const NAMED: [(&str, Format); 2] = [(".safetensors", Format::Safetensors), (".npz", Format::Npz)];

impl Spec {
    /// Goes by bytes: a file's name may be any.
    fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_encoded_bytes();
        if bytes == STDIO.as_bytes() {
            return Ok(Self::new(text, Format::Untold));
        }
        // A tensor may have any name, that of a file included: the first such colon divides.
        let divides = |at: usize| {
            let rest = &bytes[at..];
            NAMED.into_iter().find_map(|(ending, format)| {
                let is_there = rest.len() > ending.len()
                    && rest[..ending.len()].eq_ignore_ascii_case(ending.as_bytes())
                    && rest[ending.len()] == b':';
                is_there.then_some((at + ending.len(), format))
            })
        };
        if let Some((colon, format)) = (0..bytes.len()).find_map(divides) {
            let array = Some(name(&bytes[colon + 1..])?);
            return Ok(Self { array, ..Self::new(start_of(text, colon)?, format) });
        }
        let ending = Path::new(text).extension().unwrap_or_default();
        let is = |other: &str| ending.eq_ignore_ascii_case(other);
        let known =
            [("npy", Format::Npy), ("safetensors", Format::Safetensors), ("npz", Format::Npz)];
        match known.into_iter().find(|(ending, _)| is(ending)) {
            Some((_, format)) => Ok(Self::new(text, format)),
            None if is_pipe(Path::new(text)) => Ok(Self::new(text, Format::Untold)),
            None => Err("files end in .npy, .npz or .safetensors, or are `-`".to_owned()),
        }
    }

    fn new(path: impl Into<PathBuf>, format: Format) -> Self {
        Self { path: path.into(), format, array: None }
    }

    pub(super) fn is_stdio(&self) -> bool {
        self.path.as_os_str() == STDIO
    }

    /// Whether both are one pipe, under whatever names.
    pub(super) fn is_same_pipe(&self, other: &Self) -> bool {
        let is_one = self.is_stdio() && other.is_stdio() || self.path == other.path;
        self.is_pipe() && other.is_pipe() && (is_one || identity(self) == identity(other))
    }

    /// Whether it is read or written from its start to its end, once.
    pub(super) fn is_pipe(&self) -> bool {
        self.is_stdio() || is_pipe(&self.path)
    }
}

/// The name after a colon.
fn name(bytes: &[u8]) -> Result<String, String> {
    match str::from_utf8(bytes) {
        Ok("") => Err("a name is missing after the colon".to_owned()),
        Ok(name) => Ok(name.to_owned()),
        Err(_) => Err("the name after the colon is not UTF-8".to_owned()),
    }
}

/// A file's name up to a colon.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
fn start_of(text: &OsStr, colon: usize) -> Result<OsString, String> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(OsStr::from_bytes(&text.as_bytes()[..colon]).to_owned())
}

#[cfg(not(unix))]
fn start_of(text: &OsStr, colon: usize) -> Result<OsString, String> {
    let text = text.to_str().ok_or("a name with a colon has to be Unicode")?;
    Ok(text[..colon].into())
}

/// What a file is, whatever it is called: none if that cannot be told, and nothing is like it.
#[cfg(unix)]
fn identity(spec: &Spec) -> impl PartialEq + use<> {
    use std::os::unix::fs::MetadataExt as _;
    let found = if spec.is_stdio() {
        source::stdin().and_then(|stdin| stdin.metadata())
    } else {
        spec.path.metadata()
    };
    found.map(|found| (found.dev(), found.ino())).map_err(|_| spec.path.clone())
}

#[cfg(not(unix))]
fn identity(spec: &Spec) -> impl PartialEq + use<> {
    spec.path.clone()
}

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    path.metadata().is_ok_and(|found| found.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}

impl std::fmt::Display for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.array.as_ref().map_or(Ok(()), |array| write!(f, ":{array}"))
    }
}

/// A file to read.
#[derive(Debug, Clone)]
pub struct InputSpec(pub(super) Spec);

impl InputSpec {
    /// Takes an argument.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        Spec::parse(text).map(Self)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }
}

impl FromStr for InputSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text.as_ref())
    }
}

impl std::fmt::Display for InputSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A file to write.
#[derive(Debug, Clone)]
pub(crate) struct OutputSpec(pub(super) Spec);

impl OutputSpec {
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        let mut spec = Spec::parse(text)?;
        if spec.format == Format::Npz {
            return Err("archives are not written; let it end in .npy or .safetensors".to_owned());
        }
        if spec.format == Format::Untold {
            spec.format = Format::Npy;
        }
        Ok(Self(spec))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether it is where the report would go.
    pub(crate) fn is_stdout(&self) -> bool {
        self.0.is_stdio() || self.0.is_pipe() && is_stdout(&self.0.path)
    }
}

#[cfg(unix)]
fn is_stdout(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let stdout = source::stdout().and_then(|stdout| stdout.metadata());
    let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
    matches!((path.metadata(), stdout), (Ok(a), Ok(b)) if identity(a.clone()) == identity(b.clone()))
}

#[cfg(not(unix))]
fn is_stdout(_: &Path) -> bool {
    false
}

/// Arguments of any bytes, which clap has made into these.
macro_rules! from_os_str {
    ($($type:ty),*) => {$(
        impl clap::builder::ValueParserFactory for $type {
            type Parser = clap::builder::ValueParser;

            fn value_parser() -> clap::builder::ValueParser {
                use clap::builder::TypedValueParser as _;
                let bytes = clap::builder::OsStringValueParser::new();
                clap::builder::ValueParser::new(bytes.try_map(|text| Self::parse(&text)))
            }
        }
    )*};
}
pub(crate) use from_os_str;
from_os_str!(InputSpec, OutputSpec);
