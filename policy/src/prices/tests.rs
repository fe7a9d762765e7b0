use super::*;

const PRICE: Price = Price {
    input_nano_per_mtok: 3_000_000_000,
    cached_input_nano_per_mtok: 300_000_000,
    cache_write_nano_per_mtok: 3_750_000_000,
    long_cache_write_nano_per_mtok: 6_000_000_000,
    audio_input_nano_per_mtok: 24_000_000_000,
    output_nano_per_mtok: 15_000_000_000,
    audio_output_nano_per_mtok: 120_000_000_000,
    max_output_tokens: Some(64_000),
};

#[test]
fn every_row_of_the_table_is_sane() {
    let rows: Vec<&str> =
        include_str!("../../prices.tsv").lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(rows[0], "provider\tmodel\tinput\tcached_input\tcache_write\toutput\tmax_output_tokens");
    assert!(rows.len() > 300);
    let mut seen = std::collections::HashSet::new();
    for row in &rows[1..] {
        assert_eq!(row.split('\t').count(), 7, "{row}");
        let (provider, model, price) = read_row(row).unwrap_or_else(|| panic!("{row}"));
        assert!(seen.insert((provider, model)), "twice: {row}");
        let usd = 1_000_000_000;
        assert!(price.input_nano_per_mtok > 0 && price.input_nano_per_mtok <= 200 * usd, "{row}");
        assert!(price.output_nano_per_mtok <= 1_000 * usd, "{row}");
        assert!(price.output_nano_per_mtok > 0 || model.contains("embed"), "{row}");
        assert!(price.cached_input_nano_per_mtok <= price.input_nano_per_mtok, "{row}");
        assert!(price.cache_write_nano_per_mtok >= price.input_nano_per_mtok, "{row}");
        assert!(price.cache_write_nano_per_mtok <= 2 * price.input_nano_per_mtok, "{row}");
        assert!(price.max_output_tokens.is_none_or(|tokens| (1..=2_000_000).contains(&tokens)), "{row}");
    }
}

#[test]
fn names_are_found_in_the_forms_that_callers_use() {
    let prices = PriceTable::builtin();
    for (asked, same_as) in [
        ("gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("gpt-4o-2031-12-31", "gpt-4o"),
        ("claude-sonnet-5-20990101", "claude-sonnet-5"),
        ("anthropic/claude-opus-5", "claude-opus-5"),
        ("some-gateway/claude-opus-5-20990101", "claude-opus-5"),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", "ft:gpt-4o-mini-2024-07-18"),
        ("groq/openai/gpt-oss-20b", "gpt-oss-20b"),
    ] {
        assert!(prices.lookup(asked).is_some(), "{asked}");
        assert_eq!(prices.lookup(asked), prices.lookup(same_as), "{asked}");
    }
    for unknown in
        ["", "-", "/", "gpt", "gpt-4o-", "gpt-4o-12", "ft:", "ft:x:y", "é-20250101", "gpt-4o-2024-1-1"]
    {
        assert_eq!(prices.lookup(unknown), None, "{unknown}");
    }
}

#[test]
fn a_dated_row_of_its_own_beats_its_base() {
    let prices = PriceTable::builtin();
    assert_ne!(prices.lookup("gpt-4o-2024-05-13"), prices.lookup("gpt-4o"));
}

#[test]
fn of_several_providers_the_dearest_counts() {
    let prices = PriceTable::builtin();
    let (groq, cerebras) =
        (prices.lookup("openai/gpt-oss-120b").unwrap(), prices.lookup("cerebras/gpt-oss-120b").unwrap());
    let either = prices.lookup("gpt-oss-120b").unwrap();
    assert_ne!(groq, cerebras);
    assert_eq!(either, &groq.dearer(cerebras));
}

#[test]
fn a_row_without_cache_prices_charges_input_for_them() {
    let price = PriceTable::builtin().lookup("gpt-4").unwrap();
    assert_eq!(price.cached_input_nano_per_mtok, price.input_nano_per_mtok);
    assert_eq!(price.cache_write_nano_per_mtok, price.input_nano_per_mtok);
}

#[test]
fn cost_counts_every_part_once() {
    let none = TokenCounts::default();
    let cases = [
        // 500,000 at 3, 400,000 at 0.3, 100,000 at 3.75, 10,000 at 15 dollars per million.
        (
            TokenCounts {
                input: 1_000_000,
                cached_input: 400_000,
                cache_write: 100_000,
                output: 10_000,
                ..none
            },
            "2.145",
        ),
        // Of the 100,000 written 40,000 stay for an hour, at 6.
        (TokenCounts { input: 100_000, cache_write: 100_000, long_cache_write: 40_000, ..none }, "0.465"),
        // 900 at 3, 100 at 24, 40 at 15, 60 at 120.
        (TokenCounts { input: 1_000, audio_input: 100, output: 100, audio_output: 60, ..none }, "0.0129"),
        // 50 of the 100 of sound were cached: they count as sound, and 950 as cached text.
        (TokenCounts { input: 1_050, cached_input: 1_000, audio_input: 100, ..none }, "0.002685"),
        // More of a part than of the whole.
        (TokenCounts { input: 10, cached_input: 1_000_000, ..none }, "0.30"),
        (TokenCounts { output: 10, audio_output: 1_000, ..none }, "0.12"),
        (TokenCounts { input: 10, cache_write: 10, long_cache_write: 90, ..none }, "0.00006"),
        (none, "0.00"),
    ];
    for (tokens, expected) in cases {
        assert_eq!(cost(&PRICE, &tokens).to_string(), expected, "{tokens:?}");
    }
}

#[test]
fn cost_rounds_up_and_never_wraps() {
    let cheap = Price { input_nano_per_mtok: 1, output_nano_per_mtok: 1, ..PRICE };
    let one = TokenCounts { input: 1, output: 1, ..TokenCounts::default() };
    assert_eq!(cost(&cheap, &one), NanoUsd::new(1));
    let all = u64::MAX;
    let huge = TokenCounts {
        input: all,
        cached_input: all,
        cache_write: all,
        long_cache_write: all,
        audio_input: all,
        output: all,
        audio_output: all,
    };
    assert_eq!(cost(&PRICE, &huge), NanoUsd::MAX);
    let stated = Stated { input: all, output: all, ..Stated::default() };
    assert_eq!(Price::of(&stated).audio_output_nano_per_mtok, all);
}

#[test]
fn what_a_price_list_leaves_out_follows_a_rule() {
    let list = Stated { input: 3, output: 5, ..Stated::default() };
    let parts = |stated: &Stated| {
        let price = Price::of(stated);
        (
            (price.cached_input_nano_per_mtok, price.cache_write_nano_per_mtok),
            (price.long_cache_write_nano_per_mtok, price.audio_input_nano_per_mtok),
            price.audio_output_nano_per_mtok,
        )
    };
    assert_eq!(parts(&list), ((3, 3), (3, 24), 40));
    assert_eq!(parts(&Stated { cache_write: Some(4), ..list }), ((3, 4), (6, 24), 40));
    assert_eq!(parts(&Stated { cache_write: Some(9), ..list }), ((3, 9), (9, 24), 40));
    assert_eq!(parts(&Stated { cache_write: Some(0), cached_input: Some(1), ..list }), ((1, 0), (0, 24), 40));
    let all = Stated { long_cache_write: Some(7), audio_input: Some(8), audio_output: Some(9), ..list };
    assert_eq!(parts(&all), ((3, 3), (7, 8), 9));
}

#[test]
fn the_worst_case_is_never_below_the_cost() {
    proptest::proptest!(|(
        parts in proptest::array::uniform4(0u64..1 << 39),
        outputs in proptest::array::uniform2(0u64..1 << 39),
        long in 0u64..1 << 39,
        asked in proptest::array::uniform3(proptest::bool::ANY),
    )| {
        let [plain, cached_input, cache_write, audio] = parts;
        let asked = Asked { audio_input: asked[0], audio_output: asked[1], long_cache: asked[2] };
        let audio_input = if asked.audio_input { audio } else { 0 };
        let audio_output = if asked.audio_output { outputs[0] } else { 0 };
        let long_cache_write = if asked.long_cache { long.min(cache_write) } else { 0 };
        let input = plain + cached_input + cache_write + audio_input;
        let output = audio_output + outputs[1];
        let tokens = TokenCounts {
            input, cached_input, cache_write, long_cache_write, audio_input, output, audio_output,
        };
        proptest::prop_assert!(cost(&PRICE, &tokens) <= PRICE.dearest(asked).worst_case(input, output));
    });
}

#[test]
fn money_buys_exactly_what_the_worst_case_allows() {
    let dearest = PRICE.dearest(Asked::default());
    proptest::proptest!(|(money in 0u64..1 << 50, input in 0u64..1 << 20)| {
        let money = NanoUsd::new(money);
        let output = dearest.affordable_output(money, input).unwrap();
        proptest::prop_assert!(output == 0 || dearest.worst_case(input, output) <= money);
        proptest::prop_assert!(dearest.worst_case(input, output + 1) > money);
    });
    let free = Price { output_nano_per_mtok: 0, ..PRICE }.dearest(Asked::default());
    assert_eq!(free.affordable_output(NanoUsd::ZERO, 1), None);
}
