//! The table of every text that a reader follows over events.

use super::ChannelKind;

macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident: $kind:ident,)*) => {
        /// A member of an event whose strings are put together over several events.
        ///
        /// The readers can note a text only by its entry here, so [`Field::ALL`] is all that they
        /// follow; whoever tests what is done with such texts matches on it without a wildcard.
        ///
        /// ```
        /// use bulkhead_dialect::stream::{ChannelKind, Field};
        ///
        /// assert!(Field::ALL.contains(&Field::ChatContent));
        /// assert_eq!(Field::ChatContent.kind(), ChannelKind::Content);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Field {
            $($(#[$doc])* $field,)*
        }

        impl Field {
            /// Every field, by dialect.
            pub const ALL: &'static [Self] = &[$(Self::$field,)*];

            /// What kind of channel its text goes on with; several fields may go on with one.
            #[must_use]
            pub fn kind(self) -> ChannelKind {
                match self {
                    $(Self::$field => ChannelKind::$kind,)*
                }
            }
        }
    };
}

fields! {
    /// Completions: `text`.
    CompletionsText: Content,
    /// Chat: `delta.content`.
    ChatContent: Content,
    /// Chat: `text` in a list of content parts.
    ChatContentPart: Content,
    /// Chat: `thinking` in a list of content parts.
    ChatThinkingPart: Reasoning,
    /// Chat: the `text` of a list under `thinking`.
    ChatThinkingText: Reasoning,
    /// Chat: any other member of a content part.
    ChatOtherPart: Other,
    /// Chat: `delta.refusal`.
    ChatRefusal: Refusal,
    /// Chat: `delta.reasoning`.
    ChatReasoning: Reasoning,
    /// Chat: `delta.reasoning_content`.
    ChatReasoningContent: ReasoningContent,
    /// Chat: `text` of `reasoning_details`.
    ChatReasoningText: ReasoningDetail,
    /// Chat: `summary` of `reasoning_details`.
    ChatReasoningSummary: ReasoningDetail,
    /// Chat: any other member of `reasoning_details`.
    ChatReasoningOther: Other,
    /// Chat: `function.arguments` of a tool call.
    ChatToolArguments: ToolArguments,
    /// Chat: `custom.input` of a tool call.
    ChatToolInput: ToolArguments,
    /// Chat: any other member of a tool call.
    ChatToolOther: Other,
    /// Chat: any other member of `function`, such as its name.
    ChatToolFunctionOther: Other,
    /// Chat: any other member of `custom`.
    ChatToolCustomOther: Other,
    /// Chat: `function_call.arguments`.
    ChatFunctionArguments: FunctionArguments,
    /// Chat: any other member of `function_call`.
    ChatFunctionOther: Other,
    /// Chat: `audio.transcript`.
    ChatTranscript: Transcript,
    /// Chat: any other member of `audio`.
    ChatAudioOther: Other,
    /// Chat: any other member of a `delta`.
    ChatOther: Other,
    /// Chat: a member of a choice's `message`, which some providers send in place of a `delta`.
    ChatMessage: Other,
    /// Chat and Completions: any other member of a choice.
    ChatChoiceOther: Other,
    /// Chat and Completions: any other member of the event.
    ChatRootOther: Other,
    /// Responses: `response.output_text.delta`.
    ResponsesText: Content,
    /// Responses: `response.refusal.delta`.
    ResponsesRefusal: Refusal,
    /// Responses: `response.reasoning_text.delta`.
    ResponsesReasoning: Reasoning,
    /// Responses: `response.reasoning_summary_text.delta`.
    ResponsesReasoningSummary: ReasoningSummary,
    /// Responses: `response.function_call_arguments.delta`.
    ResponsesFunctionArguments: ToolArguments,
    /// Responses: `response.custom_tool_call_input.delta`.
    ResponsesCustomInput: ToolArguments,
    /// Responses: `response.mcp_call_arguments.delta`.
    ResponsesMcpArguments: ToolArguments,
    /// Responses: `response.audio.transcript.delta` and its other spellings.
    ResponsesTranscript: Transcript,
    /// Responses: `response.code_interpreter_call_code.delta` and its other spelling.
    ResponsesCode: Code,
    /// Responses: `response.shell_call_command.delta`.
    ResponsesShellCommand: Code,
    /// Responses: `response.shell_call_command.added`, with which the command begins.
    ResponsesShellCommandBegun: Code,
    /// Responses: the delta of any other event.
    ResponsesOther: Other,
    /// Responses: a member of another event's delta, such as `stdout`.
    ResponsesOtherMember: Other,
    /// Responses: a member of an event that is no delta and not known.
    ResponsesUnknownEvent: Other,
    /// Messages: `text` of a delta.
    MessagesText: Content,
    /// Messages: `text` with which a block begins.
    MessagesTextBegun: Content,
    /// Messages: `thinking` of a delta.
    MessagesThinking: Reasoning,
    /// Messages: `thinking` with which a block begins.
    MessagesThinkingBegun: Reasoning,
    /// Messages: `partial_json` of a delta.
    MessagesToolInput: ToolArguments,
    /// Messages: `content` of a delta: the summary that takes the place of a long conversation.
    MessagesCompaction: Content,
    /// Messages: `content` with which a block begins.
    MessagesCompactionBegun: Content,
    /// Messages: any other member of a delta.
    MessagesOther: Other,
    /// Messages: a member of an event that is not known.
    MessagesUnknownEvent: Other,
    /// Gemini: `text` of a part.
    GeminiText: Content,
    /// Gemini: `text` of a part that is a thought.
    GeminiThought: Reasoning,
    /// Gemini: `audioTranscription.text`.
    GeminiTranscript: Transcript,
    /// Gemini: one of the words of an `audioTranscription`.
    GeminiTranscriptWord: Other,
    /// Gemini: `executableCode.code`.
    GeminiCode: Code,
    /// Gemini: any other member of `executableCode`.
    GeminiCodeOther: Other,
    /// Gemini: a member of `codeExecutionResult`, such as its `output`.
    GeminiCodeResult: Other,
    /// Gemini: `stringValue` of a function call's `partialArgs`.
    GeminiArgument: ToolArguments,
    /// Gemini: any other member of a part.
    GeminiOther: Other,
    /// Gemini: any other member of a candidate.
    GeminiCandidateOther: Other,
    /// Gemini: any other member of the event.
    GeminiRootOther: Other,
}
