//! Files of text: whole or not at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Failure, Result};
use crate::interrupt;

/// A file that gets its name at the end of the run.
#[derive(Debug)]
pub(crate) struct PendingFile {
    path: PathBuf,
    temporary: NamedTempFile,
}

/// Opens a temporary file beside each target, so that a folder that cannot be written to is known
/// before anything is measured.
pub(crate) fn open(options: [(&str, &Option<PathBuf>); 2]) -> Result<[Option<PendingFile>; 2]> {
    let [(first, one), (second, other)] = options;
    if let (Some(one), Some(other)) = (one, other)
        && resolved(one) == resolved(other)
    {
        let path = one.display();
        return Err(Failure::input(format!("{first} and {second} are one file, {path}")));
    }
    let open = |option, path: &Option<PathBuf>| {
        path.as_ref().map(|path| PendingFile::open(option, path)).transpose()
    };
    Ok([open(first, one)?, open(second, other)?])
}

impl PendingFile {
    fn open(option: &str, path: &Path) -> Result<Self> {
        let refused =
            |reason: String| Err(Failure::input(format!("{option} {}: {reason}", path.display())));
        let folder = folder(path);
        if path.is_dir() || path.file_name().is_none() {
            return refused("is no file name".to_owned());
        }
        if option == "--plot" && path.extension().is_none_or(|end| end != "svg") {
            return refused("the picture is an SVG; let its name end in .svg".to_owned());
        }
        if !folder.is_dir() {
            return refused(format!("there is no folder {}", folder.display()));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".surprisal-");
        // The file is to have the permissions that any new file gets.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let temporary =
            builder.tempfile_in(folder).map_err(|error| Failure::write(path, error.kind()))?;
        interrupt::forget_on_exit(temporary.path());
        Ok(Self { path: path.to_owned(), temporary })
    }

    /// Writes the contents and brings them to the disk.
    pub(crate) fn with(mut self, text: &str) -> Result<Self> {
        let file = self.temporary.as_file_mut();
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|error| Failure::write(&self.path, error))?;
        Ok(self)
    }

    /// Gives the file its name.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { path, temporary } = self;
        temporary.persist(&path).map_err(|error| Failure::write(&path, error.error)).map(drop)
    }
}

/// The path with links and dots taken out, also of a file that does not exist yet.
fn resolved(path: &Path) -> PathBuf {
    match (path.canonicalize(), folder(path).canonicalize(), path.file_name()) {
        (Ok(path), ..) => path,
        (_, Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
