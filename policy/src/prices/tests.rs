use super::*;

const PRICE: Price = Price {
    input_nano_per_mtok: 3_000_000_000,
    cached_input_nano_per_mtok: 300_000_000,
    cache_write_nano_per_mtok: 3_750_000_000,
    output_nano_per_mtok: 15_000_000_000,
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
    let tokens =
        TokenCounts { input: 1_000_000, cached_input: 400_000, cache_write: 100_000, output: 10_000 };
    // 500,000 at 3, 400,000 at 0.3, 100,000 at 3.75, 10,000 at 15 dollars per million.
    assert_eq!(cost(&PRICE, &tokens).to_string(), "2.145");
}

#[test]
fn cost_rounds_up_and_never_wraps() {
    let cheap = Price { input_nano_per_mtok: 1, output_nano_per_mtok: 1, ..PRICE };
    let one = TokenCounts { input: 1, output: 1, ..TokenCounts::default() };
    assert_eq!(cost(&cheap, &one), NanoUsd::new(1));
    assert_eq!(cost(&PRICE, &TokenCounts::default()), NanoUsd::ZERO);
    let huge =
        TokenCounts { input: u64::MAX, cached_input: u64::MAX, cache_write: u64::MAX, output: u64::MAX };
    assert_eq!(cost(&PRICE, &huge), NanoUsd::MAX);
}

#[test]
fn more_cached_than_input_is_charged_as_cached() {
    let tokens = TokenCounts { input: 10, cached_input: 1_000_000, ..TokenCounts::default() };
    assert_eq!(cost(&PRICE, &tokens).to_string(), "0.30");
}

#[test]
fn the_worst_case_is_never_below_the_cost() {
    proptest::proptest!(|(input in 0u64..1 << 40, cached in 0u64..1 << 39, written in 0u64..1 << 39, output in 0u64..1 << 40)| {
        let tokens = TokenCounts { input: input + cached + written, cached_input: cached, cache_write: written, output };
        proptest::prop_assert!(cost(&PRICE, &tokens) <= PRICE.worst_case(tokens.input, output));
    });
}

#[test]
fn money_buys_exactly_what_the_worst_case_allows() {
    proptest::proptest!(|(money in 0u64..1 << 50, input in 0u64..1 << 20)| {
        let money = NanoUsd::new(money);
        let output = PRICE.affordable_output(money, input).unwrap();
        proptest::prop_assert!(output == 0 || PRICE.worst_case(input, output) <= money);
        proptest::prop_assert!(PRICE.worst_case(input, output + 1) > money);
    });
    let free = Price { output_nano_per_mtok: 0, ..PRICE };
    assert_eq!(free.affordable_output(NanoUsd::ZERO, 1), None);
}
