//! Embeds the rules: every `.sql` below `rules/`, with the `.md` beside it.
//!
//! The folder is the list. What is written is a slice of (path, SQL, page) in
//! the order of the paths, so that the program does not depend on how a file
//! system orders its folders.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    println!("cargo::rerun-if-changed=rules");
    let mut files = Vec::new();
    collect(&root.join("rules"), &mut files)?;
    files.sort();
    let mut code = String::from("&[\n");
    for sql in &files {
        let page = sql.with_extension("md");
        let shown = sql
            .strip_prefix(&root)
            .map_err(io::Error::other)?
            .display()
            .to_string();
        // Forward slashes on every system: the path is shown, and is part of tests.
        let shown = shown.replace('\\', "/");
        let page_text = if page.exists() {
            format!("Some(include_str!({page:?}))")
        } else {
            "None".to_owned()
        };
        writeln!(
            code,
            "    Embedded {{ path: {shown:?}, sql: include_str!({sql:?}), page: {page_text} }},"
        )
        .map_err(io::Error::other)?;
    }
    code.push_str("]\n");
    fs::write(out.join("rules.rs"), code)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            println!("cargo::rerun-if-changed={}", path.display());
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path);
        }
    }
    Ok(())
}
