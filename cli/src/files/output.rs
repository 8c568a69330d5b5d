//! Writing arrays: to files whole or not at all, to pipes as they come.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use surprisal::{Array, Dtype};

use super::flusher::Flusher;
use crate::error::{Failure, Result};
use crate::files::source::{note_pipe, stdout};
use crate::files::spec::Format;
use crate::files::{
    FileDtype, InputSpec, OutputSpec, PendingFile, npy, publish, resolved, safetensors,
};
use crate::progress::Progress;

/// Bytes written between two updates of the progress.
const CHUNK: usize = 16 << 20;

/// The files of one run. They appear under their names together, at the end.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    files: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    option: &'static str,
    spec: OutputSpec,
    place: Place,
    /// Of a file that is written bit by bit.
    flusher: Option<Flusher>,
}

#[derive(Debug)]
enum Place {
    File(PendingFile),
    /// A pipe, or standard output.
    Pipe(File),
}

impl Pending {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.place {
            Place::File(file) => file.append(bytes)?,
            Place::Pipe(pipe) => {
                pipe.write_all(bytes).map_err(|error| Failure::write(self.spec.path(), error))?;
            }
        }
        if let Some(flusher) = &mut self.flusher {
            flusher.wrote(bytes.len());
        }
        Ok(())
    }

    /// Brings all of it to the disk.
    fn complete(&mut self) -> Result<()> {
        let flushed = self.flusher.take().map_or(Ok(()), Flusher::finish);
        flushed.map_err(|error| Failure::write(self.spec.path(), error))?;
        match &self.place {
            Place::File(file) => file.complete(),
            Place::Pipe(_) => Ok(()),
        }
    }
}

/// Fails if two of the outputs are one file, one of them is an input, or two inputs are one pipe.
pub(crate) fn check_distinct(
    outputs: &[(&'static str, &OutputSpec)],
    inputs: &[&InputSpec],
) -> Result<()> {
    for (i, input) in inputs.iter().enumerate() {
        let is_same = |other: &&&InputSpec| other.0.is_same_pipe(&input.0);
        if let Some(other) = inputs[..i].iter().find(is_same) {
            let reason = "is read once, and cannot be given twice";
            let and =
                if other.path() == input.path() { String::new() } else { format!(" ({other})") };
            return Err(Failure::input(format!("{input}: {reason}{and}")));
        }
    }
    for (i, (option, spec)) in outputs.iter().enumerate() {
        let path = resolved(spec.path());
        let is_it = |input: &&&InputSpec| !spec.0.is_stdio() && resolved(input.path()) == path;
        if let Some(input) = inputs.iter().find(is_it) {
            return Err(Failure::input(format!("{option} would overwrite the input {input}")));
        }
        if let Some((other, _)) = outputs[..i].iter().find(|(_, o)| resolved(o.path()) == path) {
            let path = spec.path().display();
            return Err(Failure::input(format!("{other} and {option} are one file, {path}")));
        }
    }
    Ok(())
}

/// Fails if a dtype cannot be written to the file of an option.
pub(crate) fn check_dtype(
    outputs: &[(&'static str, &OutputSpec)],
    option: &str,
    dtype: FileDtype,
) -> Result<()> {
    let refused = |(of, spec): &&(&str, &OutputSpec)| *of == option && spec.0.format == Format::Npy;
    match outputs.iter().find(refused) {
        Some((_, spec)) if dtype == FileDtype::Bf16 => {
            let path = spec.path().display();
            let hint = "NumPy has no bf16; write to .safetensors instead";
            Err(Failure::input(format!("{option} {path}: {hint}")))
        }
        _ => Ok(()),
    }
}

impl Outputs {
    /// Opens a temporary file beside each target, so that a folder that cannot be written to is
    /// known before anything is computed.
    pub(crate) fn open(outputs: &[(&'static str, &OutputSpec)]) -> Result<Self> {
        let mut files = Vec::new();
        for (option, spec) in outputs {
            if spec.0.array.as_deref() == Some(safetensors::METADATA) {
                let path = spec.path().display();
                let reason = "__metadata__ is the format's own name; choose another";
                return Err(Failure::input(format!("{option} {path}: {reason}")));
            }
            let failed = |error| Failure::write(spec.path(), error);
            let place = if spec.0.is_pipe() {
                // Opening a pipe waits for somebody to read it.
                let path = spec.path();
                let pipe = if spec.0.is_stdio() {
                    stdout()
                } else {
                    File::options().write(true).open(path)
                };
                note_pipe();
                Place::Pipe(pipe.map_err(failed)?)
            } else {
                Place::File(PendingFile::open(option, spec.path())?)
            };
            files.push(Pending { option, spec: (*spec).clone(), place, flusher: None });
        }
        Ok(Self { files })
    }

    /// Writes an array to the file of an option, if it was given.
    pub(crate) fn write(
        &mut self,
        option: &str,
        tensor: &str,
        array: &Array,
        shape: &[u64],
        progress: &Progress,
    ) -> Result<()> {
        if !self.has(option) {
            return Ok(());
        }
        self.begin(option, tensor, array.dtype(), shape)?;
        progress.start("writing", array.as_bytes().len() as u64);
        let files = self.files.iter_mut().filter(|file| file.option == option);
        for file in files {
            for chunk in array.as_bytes().chunks(CHUNK) {
                file.append(chunk)?;
                progress.advance(chunk.len() as u64);
            }
        }
        Ok(())
    }

    /// The file of an option, if it was given.
    pub(crate) fn path(&self, option: &str) -> Option<&Path> {
        self.files.iter().find(|file| file.option == option).map(|file| file.spec.path())
    }

    /// A file in the same folder is on the same disk; beside a pipe there is no place for one.
    pub(crate) fn folder(&self, option: &str) -> Option<std::path::PathBuf> {
        let file = self.files.iter().find(|file| file.option == option)?;
        let Place::File(_) = file.place else { return Some(std::env::temp_dir()) };
        let folder = file.spec.path().parent().filter(|folder| !folder.as_os_str().is_empty());
        Some(folder.unwrap_or(Path::new(".")).to_owned())
    }

    pub(crate) fn has(&self, option: &str) -> bool {
        self.files.iter().any(|file| file.option == option)
    }

    /// Writes what comes before the elements to the file of an option, if it was given.
    pub(crate) fn begin(
        &mut self,
        option: &str,
        tensor: &str,
        dtype: Dtype,
        shape: &[u64],
    ) -> Result<()> {
        let Some(file) = self.files.iter_mut().find(|file| file.option == option) else {
            return Ok(());
        };
        let Some(dtype) = FileDtype::of(dtype) else {
            return Err(Failure::run(format!("{option}: {dtype} is not written")));
        };
        let (spec, mut header) = (&file.spec.0, Vec::new());
        match spec.format {
            Format::Safetensors => {
                let tensor = spec.array.as_deref().unwrap_or(tensor);
                safetensors::write_header(&mut header, tensor, dtype, shape)
            }
            _ => npy::write_header(&mut header, dtype, shape),
        }
        .map_err(|error| Failure::write(&spec.path, error))?;
        if let Place::File(pending) = &file.place {
            let flusher = Flusher::new(pending.as_file());
            file.flusher = Some(flusher.map_err(|error| Failure::write(&spec.path, error))?);
        }
        file.append(&header)
    }

    /// Writes the next elements to the file of an option, if it was given.
    pub(crate) fn append(&mut self, option: &str, array: &Array) -> Result<()> {
        match self.files.iter_mut().find(|file| file.option == option) {
            Some(file) => file.append(array.as_bytes()),
            None => Ok(()),
        }
    }

    /// Brings every file to the disk.
    pub(crate) fn complete(&mut self) -> Result<()> {
        self.files.iter_mut().try_for_each(Pending::complete)
    }

    /// Gives every file its name, and reports: all of it, or nothing.
    pub(crate) fn publish(self, report: impl FnOnce() -> Result<()>) -> Result<()> {
        let files = self.files.into_iter().filter_map(|file| match file.place {
            Place::File(file) => Some(file),
            Place::Pipe(_) => None,
        });
        publish(files, report)
    }
}
