//! trailhound: hunts through AWS VPC flow logs, CloudTrail and container logs with SQL.

fn main() -> std::process::ExitCode {
    give_large_buffers_back();
    trailhound::cli::main()
}

/// Buffers above this come from the system one by one, and go back to it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD_BYTES: std::ffi::c_int = 1 << 20;

/// Keeps the C library's allocator from holding on to large freed buffers.
///
/// By default it raises its threshold to the largest buffer that was ever freed,
/// up to 32 MiB, and keeps what is below in its heap: a group-by over millions of
/// keys, whose tables double as they grow, then holds a third more than it uses.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_large_buffers_back() {
    // SAFETY: called once, before any other thread exists; the parameter and its value are
    // those that mallopt(3) names.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_large_buffers_back() {}
