//! Ctrl-C, heard at once however busy the query is.
//!
//! The threads that run queries also listen for signals, but only between two
//! steps of a query, and a step of a large join can take a minute. So a thread
//! of its own listens here.

use std::sync::OnceLock;

use tokio::sync::watch;

static PRESSED: OnceLock<Option<watch::Sender<u64>>> = OnceLock::new();

/// Waits for the next Ctrl-C.
///
/// From the first call on Ctrl-C does not end the program any more. If no
/// thread can be had, nothing is ever heard, and it ends the program as before.
pub async fn heard() {
    let pressed = PRESSED.get_or_init(listen).as_ref();
    if let Some(mut pressed) = pressed.map(watch::Sender::subscribe)
        && pressed.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

fn listen() -> Option<watch::Sender<u64>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let sender = watch::Sender::new(0);
    let pressed = sender.clone();
    let thread = std::thread::Builder::new().name("ctrl-c".into()).spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                pressed.send_modify(|times| *times += 1);
            }
        });
    });
    thread.ok().map(|_| sender)
}
