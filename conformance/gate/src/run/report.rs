//! The files of a report, all made from the same data.

use std::path::Path;

use super::results::Results;
use super::{junit, markdown, page};
use crate::failure::Failure;

/// The file with the data.
pub(crate) const DATA: &str = "results.json";

/// Writes a report into a folder. Files of an earlier one are replaced.
pub(crate) fn write(folder: &Path, results: &Results) -> Result<(), Failure> {
    let data = serde_json::to_string_pretty(results).expect("results are plain data") + "\n";
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Failure::Folder { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let files = [
        (DATA, data),
        ("index.html", page::page(results)),
        ("junit.xml", junit::xml(results)),
        ("summary.md", markdown::summary(results)),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(())
}
