//! What the C library's allocator is told, where it is glibc's.

/// Buffers above this come from the system one by one, and go back to it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD_BYTES: std::ffi::c_int = 1 << 20;

/// Free memory at the end of a heap that is kept for the next use.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIM_THRESHOLD_BYTES: std::ffi::c_int = 32 << 20;

/// Keeps the allocator from holding on to large freed buffers, and has it keep small ones.
///
/// By default it raises its threshold to the largest buffer that was ever freed,
/// up to 32 MiB, and keeps what is below in its heap: a group-by over millions of
/// keys, whose tables double as they grow, then holds a third more than it uses.
/// Of what is smaller it gives back all but 128 KiB at once, the size of one column of a batch.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_large_buffers_back() {
    set(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
    set(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES);
}

/// Keeps buffers of up to 2 MiB for the next use, in two heaps at most.
///
/// Taking logs in asks for buffers of the same sizes again and again. Fresh memory from the
/// system costs a fault for every page: a fifth of the time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_buffers() {
    set(libc::M_ARENA_MAX, 2);
    set(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES);
    set(libc::M_MMAP_THRESHOLD, (2 << 20) + 1);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set(parameter: std::ffi::c_int, value: std::ffi::c_int) {
    // SAFETY: parameter and value are those that mallopt(3) names; it takes the allocator's own lock.
    unsafe {
        libc::mallopt(parameter, value);
    }
}

/// There is nothing to be told.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_large_buffers_back() {}

/// There is nothing to be told.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_buffers() {}
