use super::*;
use chrono::Utc;

struct Finished {
    masked: TraceBodies,
    sealed: Option<SealedBodies>,
    key: Arc<DataKey>,
    place: BodyPlace,
}

/// Captures at most eight bytes of each body.
fn finished(seals: bool, capture: impl FnOnce(&mut Capture)) -> Finished {
    let key = Arc::new(DataKey::generate(3, &SystemRandom::new()).unwrap());
    let mut captured = Capture::new(8, seals.then(|| Arc::clone(&key)));
    capture(&mut captured);
    let (tenant, trace) = (TenantId::fresh(Utc::now()), TraceId::fresh(Utc::now()));
    let (masked, sealed) = captured.finish(tenant, trace, &Metrics::new().unwrap());
    Finished { masked, sealed, key, place: BodyPlace { tenant, trace, direction: Direction::Request } }
}

impl Finished {
    fn opened(&self, direction: Direction) -> Option<(Vec<u8>, bool)> {
        let sealed = self.sealed.as_ref().unwrap();
        let body = match direction {
            Direction::Request => sealed.request.as_ref(),
            Direction::Response => sealed.response.as_ref(),
        };
        let place = BodyPlace { direction, ..self.place };
        let opened = self.key.open(place, &body?.0).unwrap();
        Some((opened.bytes.to_vec(), opened.truncated))
    }
}

#[test]
fn originals_are_cut_each_for_itself_and_open_in_their_place() {
    let finished = finished(true, |capture| {
        capture.original_request(b"12345678");
        capture.masked_request(b"[masked]");
        for part in ["abc", "", "defgh", "ij"] {
            capture.original_response(part.as_bytes());
            capture.masked_response(part.as_bytes());
        }
    });
    assert_eq!(finished.opened(Direction::Request), Some((b"12345678".to_vec(), false)));
    assert_eq!(finished.opened(Direction::Response), Some((b"abcdefgh".to_vec(), true)));
    assert_eq!(finished.masked.request.as_deref(), Some("[masked]"));
    assert_eq!((finished.masked.response.as_deref(), finished.masked.truncated), (Some("abcdefgh"), true));
    let sealed = finished.sealed.unwrap();
    assert!(sealed.truncated && sealed.key_version == 3);
}

#[test]
fn without_a_key_nothing_original_is_kept() {
    let finished = finished(false, |capture| {
        capture.original_request(b"original");
        capture.original_response(b"original");
    });
    assert_eq!((finished.masked, finished.sealed), (TraceBodies::default(), None));
}

#[test]
fn what_alerts_is_forgotten_of_the_masked_answer_alone() {
    let finished = finished(true, |capture| {
        capture.original_response(b"in clear");
        capture.masked_response(b"in clear");
        capture.forget_masked_response();
    });
    assert_eq!((finished.masked.response.as_deref(), finished.masked.truncated), (None, true));
    assert_eq!(finished.opened(Direction::Response), Some((b"in clear".to_vec(), false)));
    assert_eq!(finished.opened(Direction::Request), None);
}

#[test]
fn all_that_is_kept_counts() {
    let key = Arc::new(DataKey::generate(1, &SystemRandom::new()).unwrap());
    for (key, bytes) in [(None, 3 + 4), (Some(key), 3 + 4 + 5 + 6)] {
        let mut capture = Capture::new(6, key);
        capture.masked_request(&[0; 3]);
        capture.masked_response(&[0; 4]);
        capture.original_request(&[0; 5]);
        capture.original_response(&[0; 7]);
        assert_eq!(capture.bytes(), bytes);
    }
}

#[test]
fn what_is_captured_is_not_shown() {
    let mut capture = Capture::new(100, Some(Arc::new(DataKey::generate(1, &SystemRandom::new()).unwrap())));
    capture.original_request(b"private");
    assert!(!format!("{capture:?}").contains("private"));
}
