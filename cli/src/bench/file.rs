//! Files of text: whole or not at all.

use std::path::Path;

use crate::error::{Failure, Result};
use crate::files::{PendingFile, resolved};

/// Opens the files that were asked for, before anything is measured.
pub(crate) fn open(options: [(&str, Option<&Path>); 2]) -> Result<[Option<PendingFile>; 2]> {
    let [(first, one), (second, other)] = options;
    if let (Some(one), Some(other)) = (one, other)
        && resolved(one) == resolved(other)
    {
        let path = one.display();
        return Err(Failure::input(format!("{first} and {second} are one file, {path}")));
    }
    Ok([open_one(first, one)?, open_one(second, other)?])
}

fn open_one(option: &str, path: Option<&Path>) -> Result<Option<PendingFile>> {
    let Some(path) = path else { return Ok(None) };
    if option == "--plot" && path.extension().is_none_or(|end| end != "svg") {
        let path = path.display();
        let reason = "the picture is an SVG; let its name end in .svg";
        return Err(Failure::input(format!("{option} {path}: {reason}")));
    }
    PendingFile::open(option, path).map(Some)
}

/// The file with its contents, on the disk.
pub(crate) fn written(mut file: PendingFile, text: &str) -> Result<PendingFile> {
    file.append(text.as_bytes())?;
    file.complete()?;
    Ok(file)
}
