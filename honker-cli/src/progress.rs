//! Progress of what takes long: a bar on a terminal, nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error. Where that is no terminal it is not drawn. `total` is `None` where it is not known: it turns by itself.
pub fn bar(total: Option<u64>, what: &'static str) -> ProgressBar {
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::new_spinner(),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => "{msg} {wide_bar} {pos}/{len} {eta}",
        None => "{msg} {spinner}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what);
    if total.is_none() {
        bar.enable_steady_tick(Duration::from_millis(100));
    }
    bar
}
