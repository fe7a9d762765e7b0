//! What the demo model says: a pure function of the prompt.
//!
//! - `repeat: ...` is repeated to the letter; so is anything else, after "You said: ".
//! - "test card" is answered with a card number of the payment networks' public test range.
//! - `words: 500` is answered with that many words, for watching budgets cut a long answer.
//! - A tool is called where the request names or requires one, or has one and the prompt says "tool".
//! - A tool's result is reported back.

use serde_json::{Map, Value};

/// Every delta carries this much, which is also what counts as one token.
const TOKEN_CHARS: usize = 4;
const WORDS_MAX: usize = 20_000;
const TEST_CARD: &str = "4111 1111 1111 1111";

/// The part of a request that the answer depends on, read from any dialect.
#[derive(Debug, Default)]
pub(super) struct Prompt {
    /// The last text of the user.
    pub(super) user: String,
    /// Set where the conversation ends with a tool's result.
    pub(super) tool_result: Option<String>,
    pub(super) tools: Vec<Tool>,
    pub(super) tool_choice: ToolChoice,
    pub(super) output_tokens_max: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) schema: Value,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum ToolChoice {
    #[default]
    Auto,
    None,
    Required,
    Named(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) content: Content,
    /// The answer was cut at the request's maximum.
    pub(super) cut: bool,
    pub(super) output_tokens: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text(String),
    ToolCall { name: String, arguments: String },
}

/// Answers a prompt.
pub(super) fn answer(prompt: &Prompt) -> Answer {
    if let Some(tool) = chosen_tool(prompt) {
        let arguments = Value::Object(arguments_for(&tool.schema, &prompt.user)).to_string();
        let output_tokens = tokens(&arguments) + tokens(&tool.name);
        return Answer {
            content: Content::ToolCall { name: tool.name.clone(), arguments },
            cut: false,
            output_tokens,
        };
    }
    let text = text_for(prompt);
    let chars_max = prompt
        .output_tokens_max
        .and_then(|tokens| usize::try_from(tokens).ok())
        .map_or(usize::MAX, |tokens| tokens.saturating_mul(TOKEN_CHARS));
    let kept: String = text.chars().take(chars_max).collect();
    let cut = kept.len() < text.len();
    let output_tokens = tokens(&kept);
    Answer { content: Content::Text(kept), cut, output_tokens }
}

/// Cuts a text into what one delta carries.
pub(super) fn deltas(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(TOKEN_CHARS).map(|chunk| chunk.iter().collect()).collect()
}

/// Roughly what a tokenizer would count.
pub(super) fn tokens(text: &str) -> u64 {
    u64::try_from(text.chars().count().div_ceil(TOKEN_CHARS)).unwrap_or(u64::MAX)
}

/// Counts every string of a request's value (its messages, its tools), the keys aside.
pub(super) fn tokens_in(value: &Value) -> u64 {
    match value {
        Value::String(text) => tokens(text),
        Value::Array(items) => items.iter().map(tokens_in).sum(),
        Value::Object(entries) => entries.values().map(tokens_in).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn text_for(prompt: &Prompt) -> String {
    if let Some(result) = &prompt.tool_result {
        return format!("The tool answered: {result}");
    }
    let user = prompt.user.trim();
    let lower = user.to_ascii_lowercase();
    if let Some(text) = after(user, &lower, "repeat:") {
        return text.to_owned();
    }
    if let Some(count) = after(user, &lower, "words:").and_then(leading_number) {
        return words(count.min(WORDS_MAX));
    }
    if lower.contains("test card") {
        return format!("A card number for tests is {TEST_CARD}, valid until 12/30. It buys nothing.");
    }
    if user.is_empty() { "Hello from the demo model.".to_owned() } else { format!("You said: {user}") }
}

/// What follows `mark`; offsets agree because only ASCII letters change case.
fn after<'t>(text: &'t str, lower: &str, mark: &str) -> Option<&'t str> {
    let at = lower.find(mark)?;
    text.get(at + mark.len()..).map(str::trim)
}

fn leading_number(text: &str) -> Option<usize> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn words(count: usize) -> String {
    const WORDS: [&str; 8] = ["water", "tight", "walls", "keep", "every", "ship", "afloat", "today"];
    WORDS.iter().cycle().take(count).copied().collect::<Vec<_>>().join(" ")
}

fn chosen_tool(prompt: &Prompt) -> Option<&Tool> {
    let first = prompt.tools.first();
    match &prompt.tool_choice {
        ToolChoice::None => None,
        ToolChoice::Named(name) => prompt.tools.iter().find(|tool| tool.name == *name),
        ToolChoice::Required => first,
        ToolChoice::Auto => {
            let asked = prompt.tool_result.is_none() && prompt.user.to_ascii_lowercase().contains("tool");
            first.filter(|_| asked)
        }
    }
}

/// Fills every property of the schema's object with a value of its type.
fn arguments_for(schema: &Value, user: &str) -> Map<String, Value> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Map::new() };
    properties.iter().map(|(name, property)| (name.clone(), example_of(property, user))).collect()
}

fn example_of(schema: &Value, user: &str) -> Value {
    if let Some(first) = schema.get("enum").and_then(Value::as_array).and_then(|values| values.first()) {
        return first.clone();
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        Some(kind) => kind.as_str(),
        None => None,
    };
    // Gemini writes types in capitals.
    match kind.map(str::to_ascii_lowercase).as_deref() {
        Some("integer" | "number") => Value::from(1),
        Some("boolean") => Value::Bool(true),
        Some("array") => Value::Array(Vec::new()),
        Some("object") => Value::Object(arguments_for(schema, user)),
        Some("null") => Value::Null,
        _ => Value::from(user),
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Content, Prompt, Tool, ToolChoice, answer, deltas};
    use serde_json::json;

    fn prompt(user: &str) -> Prompt {
        Prompt { user: user.to_owned(), ..Prompt::default() }
    }

    fn text(answer: &Answer) -> &str {
        match &answer.content {
            Content::Text(text) => text,
            Content::ToolCall { .. } => panic!("a tool call"),
        }
    }

    #[test]
    fn the_prompt_decides_the_answer() {
        for (user, expected) in [
            ("Please repeat: Hello  there", "Hello  there"),
            ("REPEAT: \u{dc}ber", "\u{dc}ber"),
            ("words: 3 please", "water tight walls"),
            ("words: many", "You said: words: many"),
            ("hi", "You said: hi"),
            ("", "Hello from the demo model."),
            ("I need a tool", "You said: I need a tool"),
        ] {
            assert_eq!(text(&answer(&prompt(user))), expected, "{user:?}");
        }
        assert!(text(&answer(&prompt("give me a Test Card number"))).contains("4111"));
    }

    #[test]
    fn the_maximum_cuts() {
        let cut = answer(&Prompt { output_tokens_max: Some(2), ..prompt("repeat: 123456789") });
        assert_eq!((text(&cut), cut.cut, cut.output_tokens), ("12345678", true, 2));
        let whole = answer(&Prompt { output_tokens_max: Some(3), ..prompt("repeat: 123456789") });
        assert_eq!((text(&whole), whole.cut, whole.output_tokens), ("123456789", false, 3));
    }

    #[test]
    fn tools_are_called_when_asked_for() {
        let schema = json!({"type": "object", "properties": {
            "city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["c", "f"]},
        }});
        let tools = vec![Tool { name: "weather".to_owned(), schema }];
        let called = |user: &str, choice, result: Option<&str>| {
            let tool_result = result.map(str::to_owned);
            let prompt = Prompt { tools: tools.clone(), tool_choice: choice, tool_result, ..prompt(user) };
            matches!(answer(&prompt).content, Content::ToolCall { .. })
        };
        assert!(called("use the tool", ToolChoice::Auto, None));
        assert!(!called("hi", ToolChoice::Auto, None));
        assert!(!called("use the tool", ToolChoice::None, None));
        assert!(!called("use the tool", ToolChoice::Auto, Some("rain")));
        assert!(called("hi", ToolChoice::Required, None));
        assert!(called("hi", ToolChoice::Named("weather".to_owned()), None));

        let prompt = Prompt { tools, ..prompt("use the tool") };
        let Content::ToolCall { name, arguments } = answer(&prompt).content else { panic!("no tool call") };
        let arguments: serde_json::Value = serde_json::from_str(&arguments).expect("arguments are JSON");
        assert_eq!(
            (name.as_str(), arguments),
            ("weather", json!({"city": "use the tool", "days": 1, "unit": "c"}))
        );
    }

    #[test]
    fn deltas_add_up() {
        assert_eq!(deltas("\u{1f600}abcdé fgh").concat(), "\u{1f600}abcdé fgh");
        assert_eq!(deltas("12345").len(), 2);
        assert!(deltas("").is_empty());
    }
}
