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
    fs::write(out.join("rules.rs"), code)?;
    println!("cargo::rerun-if-changed=baselines");
    println!("cargo::rerun-if-changed=baselines/fragments");
    for (folder, list) in [
        ("baselines", "baselines.rs"),
        ("baselines/fragments", "fragments.rs"),
    ] {
        fs::write(out.join(list), named(&root.join(folder))?)?;
    }
    Ok(())
}

/// A slice of (name, SQL) of the files of one folder, in the order of their names.
fn named(folder: &Path) -> io::Result<String> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    let mut code = String::from("&[\n");
    for path in &files {
        println!("cargo::rerun-if-changed={}", path.display());
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        writeln!(
            code,
            "    Embedded {{ name: {name:?}, sql: include_str!({path:?}) }},"
        )
        .map_err(io::Error::other)?;
    }
    code.push_str("]\n");
    Ok(code)
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
