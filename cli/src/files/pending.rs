//! Files that get their names at the end of a run: together, or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Failure, Result};
use crate::undo::{self, Undo};

/// What a temporary file's name starts with, so that a leftover is recognised.
const PREFIX: &str = ".surprisal-";
/// Links that lead from one to the next, at most; Linux follows as many.
const MAX_LINKS: usize = 40;

/// A file that has another name until the end of the run.
#[derive(Debug)]
pub(crate) struct PendingFile {
    /// As the user named it.
    path: PathBuf,
    /// Where that leads.
    target: PathBuf,
    temporary: NamedTempFile,
}

impl PendingFile {
    /// Opens a temporary file beside the target, so that a folder that cannot be written to is known
    /// before anything is computed.
    pub(crate) fn open(option: &str, path: &Path) -> Result<Self> {
        let target = place(path)
            .map_err(|reason| Failure::input(format!("{option} {}: {reason}", path.display())))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        // The file is to have the permissions that any new file gets.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let temporary = undo::recorded(|undo| {
            let temporary = builder.tempfile_in(folder(&target))?;
            undo.push(Undo::Remove(temporary.path().to_owned()));
            Ok(temporary)
        })
        .map_err(|error| Failure::write(path, error.kind()))?;
        Ok(Self { path: path.to_owned(), target, temporary })
    }

    pub(super) fn as_file(&self) -> &File {
        self.temporary.as_file()
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.temporary.as_file_mut();
        file.write_all(bytes).map_err(|error| Failure::write(&self.path, error))
    }

    /// Brings the file to the disk, with the permissions of the one that it will replace.
    pub(crate) fn complete(&self) -> Result<()> {
        let file = self.as_file();
        let permitted = match self.target.metadata() {
            Ok(replaced) => file.set_permissions(replaced.permissions()),
            Err(_) => Ok(()),
        };
        permitted.and_then(|()| file.sync_all()).map_err(|error| Failure::write(&self.path, error))
    }

    /// Gives the file its name. What had it is kept until the run is through.
    fn put(self) -> Result<()> {
        let Self { path, target, temporary } = self;
        undo::recorded(|undo| {
            let kept = keep(&target)?;
            let is_new = kept.is_none();
            undo.extend(kept.map(|kept| Undo::Restore { kept, path: target.clone() }));
            temporary.persist(&target)?;
            if is_new {
                undo.push(Undo::Remove(target));
            }
            Ok(())
        })
        .map_err(|error| Failure::write(&path, error))
    }
}

/// Gives every file its name and reports it. A failure of any of that ends the run, and what was done
/// until then is taken back.
pub(crate) fn publish(
    files: impl IntoIterator<Item = PendingFile>,
    report: impl FnOnce() -> Result<()>,
) -> Result<()> {
    files.into_iter().try_for_each(PendingFile::put)?;
    report()?;
    undo::close();
    Ok(())
}

/// Gives what is there a second name, if anything is.
fn keep(target: &Path) -> io::Result<Option<PathBuf>> {
    match target.symlink_metadata() {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(io::Error::other("it is not a file any more")),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let kept = tempfile::Builder::new().prefix(PREFIX).make_in(folder(target), |name| {
        fs::hard_link(target, name).or_else(|error| match error.kind() {
            ErrorKind::AlreadyExists => Err(error),
            // Not every file system has hard links.
            _ => fs::rename(target, name),
        })
    })?;
    Ok(Some(kept.into_temp_path().keep()?))
}

/// The path with links and dots taken out, also of a file that does not exist yet.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let path = target(path);
    match (folder(&path).canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path,
    }
}

/// Where a file of this name is written, if it can be as far as that can be told beforehand.
fn place(path: &Path) -> std::result::Result<PathBuf, String> {
    if path.as_os_str().to_string_lossy().ends_with(['/', '\\']) || path.file_name().is_none() {
        return Err("is no file name".to_owned());
    }
    let target = target(path);
    if !folder(path).is_dir() {
        return Err("there is no folder for it".to_owned());
    }
    if !folder(&target).is_dir() {
        return Err(format!("leads to {}, and there is no folder for that", target.display()));
    }
    match path.metadata() {
        Ok(found) if found.is_dir() => Err("is a folder".to_owned()),
        Ok(found) if !found.is_file() => Err("is not a file".to_owned()),
        Ok(_) => Ok(target),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(target),
        Err(error) => Err(error.to_string()),
    }
}

/// Where links lead, be it to what does not exist yet.
fn target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(next) = path.read_link() else { break };
        path = folder(&path).join(next);
    }
    path
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
