//! Ctrl-C and its kin: a run that is interrupted leaves nothing behind.

use std::io::{self, Write as _};

use crate::undo;

/// From here on an interrupted run ends with code 1 and one line.
pub(crate) fn watch() {
    // Without a handler an interrupt ends the run all the same; only a temporary file would stay.
    let _ = on_interrupt(end);
}

fn end() {
    undo::take_back_and(|| {
        let _ = writeln!(io::stderr(), "surprisal: interrupted");
        std::process::exit(1);
    });
}

#[cfg(unix)]
fn on_interrupt(end: fn()) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

    // A file that reaches a limit of size is an error of writing, which names it.
    signal_hook::flag::register(SIGXFSZ, std::sync::Arc::default())?;
    // Whoever started the run may have asked for it to go on: nohup, or a shell's `&`.
    let heard = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|&signal| !is_ignored(signal));
    let mut signals = signal_hook::iterator::Signals::new(heard)?;
    std::thread::spawn(move || signals.forever().for_each(|_| end()));
    Ok(())
}

#[cfg(unix)]
fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    #[expect(
        unsafe_code,
        reason = "no crate asks for what happens at a signal without changing it"
    )]
    // SAFETY: without a new action, the call writes the present one to where it is told, and zeros are
    // one too.
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

#[cfg(not(unix))]
fn on_interrupt(end: fn()) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(end)
}
