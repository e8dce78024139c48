//! Keeps the server's descriptors out of the commands it runs.

/// Marks every descriptor from 3 on that this process has open as close-on-exec.
///
/// Everything Rust opens is marked already; what whoever started this process left open is not, and
/// would be inherited by every command. Call it once at the start of `main`, before other threads
/// run: a library should not decide this for its program, which may mean a descriptor to be inherited.
/// Standard input, output and error are left alone.
pub fn mark_inherited_descriptors_close_on_exec() {
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
}
