//! What the events of one stream repeat: ids, model names, keys and field names.

/// Texts that are remembered per event; what stands behind them is scanned again each time.
const PLACES_MAX: usize = 64;
/// Bytes of a text that is remembered; a longer one is hardly ever repeated.
const TEXT_BYTES_MAX: usize = 256;

/// The texts without a finding of the events so far, by their place in the event.
///
/// A text of its own has the same findings whenever it comes, so one that stood at the same place in an
/// earlier event and was clean need not be scanned again: a comparison instead of a scan, for nearly all
/// strings of nearly all events.
#[derive(Default)]
pub(super) struct Repeats {
    places: Vec<Vec<u8>>,
    next: usize,
}

impl Repeats {
    /// The next event begins.
    pub(super) fn begin(&mut self) {
        self.next = 0;
    }

    /// Goes to the next place and says whether `text` is known there.
    pub(super) fn knows(&mut self, text: &[u8]) -> bool {
        self.next += 1;
        self.places.get(self.next - 1).is_some_and(|known| known == text)
    }

    /// Notes that the text that was asked for last is clean.
    pub(super) fn note_clean(&mut self, text: &[u8]) {
        if self.next > PLACES_MAX || text.len() > TEXT_BYTES_MAX {
            return;
        }
        if self.places.len() < self.next {
            self.places.resize_with(self.next, Vec::new);
        }
        if let Some(place) = self.places.get_mut(self.next - 1) {
            place.clear();
            place.extend_from_slice(text);
        }
    }
}
