#include "serve/fields/field_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace throng::serve {
namespace {

constexpr uint32_t kBoth = kChat | kText;
constexpr uint32_t kOpenAi = kBoth | kResponses;
constexpr uint32_t kOllama = kOllamaChat | kOllamaText;
constexpr uint32_t kOllamaVectors = kOllamaEmbed | kOllamaEmbeddings;
constexpr uint32_t kOllamaModel = kOllama | kOllamaVectors;  // all that use the model

constexpr uint32_t kTools = kChat | kResponses | kOllamaChat;
constexpr const char* kToolName = "1 to 64 letters, digits, dashes, dots and underscores";
constexpr const char* kToolParameters = "the JSON schema of the arguments, which they follow";

constexpr const char* kNothing = R"([false, 0, "", [], {}])";

constexpr Field kFields[] = {
    // What is asked.
    {kOpenAi | kEmbeddings, "model", Use::kNoEffect, "any text: there is one model, which the reply names"},
    {kOllamaModel, "model", Use::kNoEffect, "any text: there is one model, which the reply names"},
    {kChat, "messages", Use::kComputed, "1 to 4096 messages"},
    {kChat, "messages[].role", Use::kComputed,
     "`system` or `developer`, `user`, `assistant`; others where the template has them"},
    {kChat, "messages[].content", Use::kComputed,
     "a text, or a list of parts; may be null beside `tool_calls`"},
    {kChat, "messages[].content[].type", Use::kComputed, "`text`"},
    {kChat, "messages[].content[].text", Use::kComputed, "a text"},
    {kChat, "messages[].content[].role", Use::kNoEffect, "a copy of the message's, from some clients"},
    {kChat, "messages[].content[].refusal", Use::kNoEffect, "a copy of the message's, from some clients"},
    {kChat, "messages[].content[].tool_calls", Use::kNoEffect, "a copy of the message's, from some clients"},
    {kChat, "messages[].content[].reasoning_content", Use::kNoEffect,
     "a copy of the message's, from some clients"},
    {kChat, "messages[].content[].cache_control", Use::kNoEffect,
     "prompts that begin alike share their cache anyway"},
    {kChat, "messages[].cache_control", Use::kNoEffect, "prompts that begin alike share their cache anyway"},
    {kChat, "messages[].name", Use::kComputed,
     "of a tool, with its result; of whoever speaks: where the template does not show it, it stands before "
     "the text, as `name: `, unless it is the role's"},
    {kChat, "messages[].tool_calls", Use::kComputed, "a list of calls, if the model's template shows them"},
    {kChat, "messages[].tool_calls[].id", Use::kComputed, "a text"},
    {kChat, "messages[].tool_calls[].type", Use::kComputed, "`function`"},
    {kChat, "messages[].tool_calls[].index", Use::kNoEffect, "of an answer that is sent back"},
    {kChat, "messages[].tool_calls[].function", Use::kComputed, "an object"},
    {kChat, "messages[].tool_calls[].function.name", Use::kComputed, "a text"},
    {kChat, "messages[].tool_calls[].function.arguments", Use::kComputed, "a text of JSON, or an object"},
    {kChat, "messages[].tool_call_id", Use::kComputed, "a text"},
    {kChat, "messages[].function_call", Use::kRefused, "`tool_calls` has them", kNothing},
    {kChat, "messages[].refusal", Use::kRefused, "templates have no place for it", kNothing},
    {kChat, "messages[].annotations", Use::kRefused, "templates have no place for it", kNothing},
    {kChat, "messages[].audio", Use::kRefused, "text only", kNothing},
    {kChat, "messages[].reasoning_content", Use::kComputed,
     "a text, the thought of an earlier answer, for templates that show it"},
    {kChat, "messages[].reasoning", Use::kComputed, "the same as `reasoning_content` (vLLM)"},
    {kText, "prompt", Use::kComputed,
     "a text, a list of token ids, or a list of 1 to 128 of either; each has its choices, in order"},
    {kText, "suffix", Use::kRefused, "models here continue texts", kNothing},
    {kText, "echo", Use::kComputed, "the choices begin with the prompt, and `logprobs` with its tokens"},
    {kChat, "echo", Use::kRefused, "for texts only", kNothing},
    {kResponses, "input", Use::kComputed, "a text, or a list of messages"},
    {kResponses, "input[].type", Use::kComputed,
     "`message`, `function_call`, `function_call_output`, `reasoning`, or `item_reference`"},
    {kResponses, "input[].call_id", Use::kComputed, "of a call, and of its output"},
    {kResponses, "input[].name", Use::kComputed, "of a call's function"},
    {kResponses, "input[].arguments", Use::kComputed, "of a call: a text of JSON"},
    {kResponses, "input[].output", Use::kComputed, "of a call: a text, or a list of parts"},
    {kResponses, "input[].output[].type", Use::kComputed, "`input_text`"},
    {kResponses, "input[].output[].text", Use::kComputed, "a text"},
    {kResponses, "input[].summary", Use::kNoEffect, "of a thought, whose content counts"},
    {kResponses, "input[].encrypted_content", Use::kNoEffect, "of a thought, whose content counts"},
    {kResponses, "input[].role", Use::kComputed, "as in `messages[].role`"},
    {kResponses, "input[].content", Use::kComputed, "a text, or a list of parts"},
    {kResponses, "input[].content[].type", Use::kComputed,
     "`input_text`, `output_text` or `text`; `reasoning_text` in thoughts"},
    {kResponses, "input[].content[].text", Use::kComputed, "a text"},
    {kResponses, "input[].content[].annotations", Use::kRefused, "text only", kNothing},
    {kResponses, "input[].content[].logprobs", Use::kNoEffect, "of an answer that is sent back"},
    {kResponses, "input[].id", Use::kComputed,
     "of an `item_reference`: an item of an earlier answer, while the server remembers it"},
    {kResponses, "input[].status", Use::kNoEffect, "of an answer that is sent back"},
    {kResponses, "instructions", Use::kComputed,
     "a system message before all others, for this response alone"},
    {kResponses, "previous_response_id", Use::kComputed,
     "the chat goes on from there, while the server remembers it"},
    {kResponses, "store", Use::kComputed,
     "`false`: the response is not kept for `previous_response_id` and `item_reference`"},
    {kResponses, "background", Use::kRefused, "answers come with their request", kNothing},
    {kResponses, "conversation", Use::kRefused, "`previous_response_id` goes on with a chat", kNothing},
    {kResponses, "include", Use::kRefused, "there is nothing more to include",
     R"([[], ["reasoning.encrypted_content"]])"},
    {kResponses, "prompt", Use::kRefused, "there are no stored prompts", kNothing},
    {kResponses, "truncation", Use::kRefused, "a chat that is too long is refused", R"(["disabled"])"},
    {kResponses, "max_tool_calls", Use::kRefused, "calls are the client's to make", kNothing},
    {kResponses, "reasoning", Use::kComputed, "an object"},
    {kResponses, "reasoning.effort", Use::kComputed, "as `reasoning_effort` of chats"},
    {kResponses, "reasoning.max_tokens", Use::kComputed, "as `thinking_token_budget` of chats"},
    {kResponses, "reasoning.summary", Use::kNoEffect, "thoughts come as they are"},
    {kResponses, "reasoning.generate_summary", Use::kNoEffect, "thoughts come as they are"},
    {kResponses, "top_logprobs", Use::kRefused, "chat completions have them", kNothing},
    {kResponses, "text", Use::kComputed, "an object"},
    {kResponses, "text.format", Use::kComputed, "an object"},
    {kResponses, "text.format.type", Use::kComputed, "`text`, `json_object` or `json_schema`"},
    {kResponses, "text.format.schema", Use::kComputed, "a JSON schema, which the answer follows"},
    {kResponses, "text.format.name", Use::kNoEffect, "a name of the schema"},
    {kResponses, "text.format.description", Use::kNoEffect, "for people"},
    {kResponses, "text.format.strict", Use::kNoEffect, "schemas are always followed"},
    {kResponses, "text.verbosity", Use::kRefused, "for models that know it", R"(["medium"])"},
    {kEmbeddings, "input", Use::kComputed, "a text, a list of token ids, or a list of 1 to 2048 of either"},
    {kEmbeddings, "encoding_format", Use::kComputed, "`float` or `base64` (of 32-bit floats, little-endian)"},
    {kEmbeddings, "dimensions", Use::kRefused, "embeddings are as long as the model makes them"},
    {kTokenize, "prompt", Use::kComputed, "a text, as completions read it (vLLM)"},
    {kTokenize, "content", Use::kComputed, "a text, instead of `prompt` (llama.cpp); not both"},
    {kTokenize, "add_special_tokens", Use::kComputed,
     "for `prompt`: with the token that begins texts; default true"},
    {kTokenize, "add_special", Use::kComputed, "the same for `content`; default false"},
    {kTokenize, "parse_special", Use::kComputed,
     "for `content`: names of control tokens become these; default true"},
    {kTokenize, "return_token_strs", Use::kComputed, "adds `token_strs`"},
    {kTokenize, "with_pieces", Use::kComputed, "`tokens` has `id` and `piece` of each"},
    {kTokenize, "messages", Use::kRefused, "chat completions count the tokens of chats in `usage`"},
    {kDetokenize, "tokens", Use::kComputed, "a list of token ids"},
    {kTokenize | kDetokenize | kOllamaShow, "model", Use::kNoEffect, "there is one"},
    {kOllamaShow, "name", Use::kNoEffect, "there is one"},
    {kOllamaShow, "verbose", Use::kNoEffect, "the reply is always short"},
    {kOllamaEmbed, "input", Use::kComputed, "a text, or a list of up to 2048 texts"},
    {kOllamaEmbed, "truncate", Use::kNoEffect, "what is too long is refused, and never cut"},
    {kOllamaEmbed, "dimensions", Use::kRefused, "embeddings are as long as the model makes them", "[0]"},
    {kOllamaEmbeddings, "prompt", Use::kComputed, "a text"},
    {kOllamaChat, "messages", Use::kComputed,
     "up to 4096 messages; none: the reply says at once that the model is loaded"},
    {kOllamaChat, "messages[].role", Use::kComputed,
     "`system`, `user`, `assistant`; others where the template has them"},
    {kOllamaChat, "messages[].content", Use::kComputed, "a text"},
    {kOllamaChat, "messages[].images", Use::kRefused, "text only", kNothing},
    {kOllamaChat, "messages[].tool_calls", Use::kComputed, "a list of calls"},
    {kOllamaChat, "messages[].tool_calls[].id", Use::kComputed, "a text"},
    {kOllamaChat, "messages[].tool_calls[].type", Use::kComputed, "`function`"},
    {kOllamaChat, "messages[].tool_calls[].function", Use::kComputed, "an object"},
    {kOllamaChat, "messages[].tool_calls[].function.index", Use::kNoEffect, "of an answer that is sent back"},
    {kOllamaChat, "messages[].tool_calls[].function.name", Use::kComputed, "a text"},
    {kOllamaChat, "messages[].tool_calls[].function.arguments", Use::kComputed,
     "an object, or a text of JSON"},
    {kOllamaChat, "messages[].tool_name", Use::kComputed, "of a tool, with its result"},
    {kOllamaChat, "messages[].tool_call_id", Use::kComputed, "a text"},
    {kOllamaChat, "messages[].thinking", Use::kComputed,
     "a text, the thought of an earlier answer, for templates that show it"},
    {kOllamaText, "prompt", Use::kComputed, "a text; empty: the reply says at once that the model is loaded"},
    {kOllamaText, "system", Use::kComputed, "a system message before it"},
    {kOllamaText, "raw", Use::kComputed, "the prompt is continued as it is, without the chat template"},
    {kOllamaText, "suffix", Use::kRefused, "models here continue texts", kNothing},
    {kOllamaText, "template", Use::kRefused, "the model's file has one", kNothing},
    {kOllamaText, "context", Use::kRefused, "send the chat instead", kNothing},
    {kOllamaText, "images", Use::kRefused, "text only", kNothing},
    {kOllama, "logprobs", Use::kRefused, "`/v1/chat/completions` and `/v1/completions` have them", kNothing},
    {kOllama, "top_logprobs", Use::kRefused, "`/v1/chat/completions` and `/v1/completions` have them",
     kNothing},

    // How much, and when it ends.
    {kBoth, "max_tokens", Use::kComputed,
     "1 or more, for texts 0 or more; default 16 for texts, for chats what is left of the context"},
    {kBoth, "max_completion_tokens", Use::kComputed, "the same as `max_tokens`"},
    {kResponses, "max_output_tokens", Use::kComputed, "1 or more; default: what is left of the context"},
    {kBoth, "min_tokens", Use::kComputed,
     "0 or more: so many before a token that ends the answer or the end of a text of `stop`; not with a "
     "constraint"},
    {kBoth, "ignore_eos", Use::kComputed, "goes on after the model's own end; not with a constraint"},
    {kBoth, "stop", Use::kComputed, "a text or 1 to 16 texts: the answer ends before the first of them"},
    {kBoth, "stop_token_ids", Use::kComputed, "up to 64 token ids: the answer ends before the first of them"},
    {kBoth, "include_stop_str_in_output", Use::kRefused, "answers end before what stops them", kNothing},
    {kBoth, "bad_words", Use::kRefused, "`logit_bias` of -100 keeps tokens out", kNothing},
    {kBoth, "allowed_token_ids", Use::kRefused, "`guided_choice` says what is allowed", kNothing},
    {kBoth, "truncate_prompt_tokens", Use::kRefused, "a prompt that is too long is refused", kNothing},

    // How tokens are drawn.
    {kOpenAi, "temperature", Use::kComputed, "0 (the most likely token) to 100; default 1"},
    {kOpenAi, "top_p", Use::kComputed, "0 (the most likely token) to 1; default 1"},
    {kBoth, "top_k", Use::kComputed, "0 and -1: all; default 0"},
    {kBoth, "min_p", Use::kComputed, "0 to 1; default 0"},
    {kOpenAi, "seed", Use::kComputed,
     "a whole number; choice i of a prompt has `seed` + i; default: by chance"},
    {kBoth, "presence_penalty", Use::kComputed,
     "-2 to 2: subtracted from the logits of tokens in the answer so far"},
    {kBoth, "frequency_penalty", Use::kComputed, "-2 to 2: the same for each time that a token occurs"},
    {kBoth, "repetition_penalty", Use::kComputed,
     "0.01 to 100: divides the logits, if positive, of tokens in prompt and answer; else multiplies"},
    {kBoth, "logit_bias", Use::kComputed,
     "up to 1024 token ids as names, -100 to 100 as values: added to their logits"},
    {kBoth, "typical_p", Use::kRefused, "", "[1]"},
    {kBoth, "length_penalty", Use::kRefused, "no beam search", "[1]"},
    {kBoth, "use_beam_search", Use::kRefused, "no beam search", kNothing},
    {kBoth, "mirostat", Use::kRefused, "", kNothing},
    {kBoth, "repeat_penalty", Use::kRefused, "`repetition_penalty` covers prompt and answer", "[1]"},
    {kBoth, "samplers", Use::kRefused, "the order is fixed", kNothing},
    {kBoth, "logits_processors", Use::kRefused, "", kNothing},

    // How many, and what is told about them.
    {kBoth, "n", Use::kComputed, "1 to 128 choices, which share the prompt's cache"},
    {kText, "best_of", Use::kComputed,
     "`n` to 128 candidates, of which the `n` with the largest mean log-probability come, best first; not in "
     "streams"},
    {kChat, "best_of", Use::kRefused, "for texts only", "[1]"},
    {kChat, "logprobs", Use::kComputed,
     "`true`: those of the model's distribution, before everything that this table has"},
    {kChat, "top_logprobs", Use::kComputed, "0 to 20, with `logprobs`"},
    {kText, "logprobs", Use::kComputed,
     "0 to 20: those of the model's distribution, before everything that this table has"},
    {kText, "top_logprobs", Use::kRefused, "`logprobs` says how many", kNothing},
    {kBoth, "prompt_logprobs", Use::kRefused, "text completions have them with `echo` and `logprobs`"},
    {kBoth, "return_token_ids", Use::kRefused, "`/tokenize` has them", kNothing},
    {kBoth, "return_tokens_as_token_ids", Use::kRefused, "`/tokenize` has them", kNothing},
    {kBoth, "skip_special_tokens", Use::kRefused, "answers are texts", "[true]"},
    {kBoth, "spaces_between_special_tokens", Use::kRefused, "answers are texts", "[true]"},
    {kBoth | kResponses | kOllama, "stream", Use::kComputed, "`true`: the answer comes in parts"},
    {kBoth | kResponses, "stream_options", Use::kComputed, "an object"},
    {kBoth, "stream_options.include_usage", Use::kComputed,
     "with `stream`: a last chunk has `usage`, which is null in all others"},
    {kBoth, "stream_options.continuous_usage_stats", Use::kRefused, "the last chunk has them", kNothing},
    {kBoth | kResponses, "stream_options.include_obfuscation", Use::kNoEffect, "never added"},
    {kBoth, "priority", Use::kComputed, "a whole number: smaller is served first; default 0"},

    // What form the answer has: at most one of these.
    {kBoth, "response_format", Use::kComputed, "an object"},
    {kBoth, "response_format.type", Use::kComputed, "`text`, `json_object` or `json_schema`"},
    {kBoth, "response_format.json_schema", Use::kComputed, "an object"},
    {kBoth, "response_format.json_schema.schema", Use::kComputed, "a JSON schema"},
    {kBoth, "response_format.schema", Use::kComputed,
     "a JSON schema, with `json_object`, or instead of `json_schema` (llama.cpp)"},
    {kBoth, "response_format.json_schema.name", Use::kNoEffect, "a name of the schema"},
    {kBoth, "response_format.json_schema.description", Use::kNoEffect, "for people"},
    {kBoth, "response_format.json_schema.strict", Use::kNoEffect, "schemas are always followed"},
    {kBoth, "json_schema", Use::kComputed, "a JSON schema (llama.cpp)"},
    {kBoth, "guided_json", Use::kComputed, "a JSON schema (vLLM)"},
    {kBoth, "guided_choice", Use::kComputed, "1 to 1024 texts (vLLM)"},
    {kBoth, "structured_outputs", Use::kComputed, "an object (vLLM)"},
    {kBoth, "structured_outputs.json", Use::kComputed, "a JSON schema"},
    {kBoth, "structured_outputs.choice", Use::kComputed, "1 to 1024 texts"},
    {kBoth, "structured_outputs.regex", Use::kComputed, "a regular expression that the whole answer matches"},
    {kBoth, "structured_outputs.grammar", Use::kComputed, "a grammar in GBNF"},
    {kBoth, "structured_outputs.json_object", Use::kComputed, "true: any JSON object"},
    {kBoth, "structured_outputs.structural_tag", Use::kRefused, "", kNothing},
    {kBoth, "structured_outputs.disable_any_whitespace", Use::kNoEffect, "JSON has no white space"},
    {kBoth, "guided_regex", Use::kComputed, "a regular expression that the whole answer matches (vLLM)"},
    {kBoth, "guided_grammar", Use::kComputed, "a grammar in GBNF (vLLM)"},
    {kBoth, "guided_decoding_backend", Use::kNoEffect, "there is one"},
    {kBoth, "guided_whitespace_pattern", Use::kRefused, "JSON has no white space", kNothing},
    {kBoth, "grammar", Use::kComputed, "a grammar in GBNF (llama.cpp)"},
    {kOllama, "format", Use::kComputed, "`json` or a JSON schema"},

    // Tools, thoughts, other media.
    {kTools, "tools", Use::kComputed, "up to 128 functions ([tools](tools.md))"},
    {kTools, "tools[].type", Use::kComputed, "`function`"},
    {kChat | kOllamaChat, "tools[].function", Use::kComputed, "an object"},
    {kChat | kOllamaChat, "tools[].function.name", Use::kComputed, kToolName},
    {kChat | kOllamaChat, "tools[].function.description", Use::kComputed, "a text for the model"},
    {kChat | kOllamaChat, "tools[].function.parameters", Use::kComputed, kToolParameters},
    {kChat | kOllamaChat, "tools[].function.strict", Use::kNoEffect, "schemas are always followed"},
    {kResponses, "tools[].name", Use::kComputed, kToolName},
    {kResponses, "tools[].description", Use::kComputed, "a text for the model"},
    {kResponses, "tools[].parameters", Use::kComputed, kToolParameters},
    {kResponses, "tools[].strict", Use::kNoEffect, "schemas are always followed"},
    {kChat | kResponses, "tool_choice", Use::kComputed,
     "`auto`, `none`, `required`, a function of the tools, or some of them; default `auto` with tools"},
    {kChat | kResponses, "tool_choice.type", Use::kComputed, "`function` or `allowed_tools`"},
    {kChat, "tool_choice.function", Use::kComputed, "an object"},
    {kChat, "tool_choice.function.name", Use::kComputed, "the name of one of the tools"},
    {kChat, "tool_choice.allowed_tools", Use::kComputed, "an object"},
    {kChat, "tool_choice.allowed_tools.mode", Use::kComputed, "`auto` or `required`"},
    {kChat, "tool_choice.allowed_tools.tools", Use::kComputed,
     "the tools that may be called; the model sees all"},
    {kChat, "tool_choice.allowed_tools.tools[].type", Use::kComputed, "`function`"},
    {kChat, "tool_choice.allowed_tools.tools[].function", Use::kComputed, "an object"},
    {kChat, "tool_choice.allowed_tools.tools[].function.name", Use::kComputed,
     "the name of one of the tools"},
    {kResponses, "tool_choice.name", Use::kComputed, "the name of one of the tools"},
    {kResponses, "tool_choice.mode", Use::kComputed, "`auto` or `required`, of `allowed_tools`"},
    {kResponses, "tool_choice.tools", Use::kComputed, "the tools that may be called; the model sees all"},
    {kResponses, "tool_choice.tools[].type", Use::kComputed, "`function`"},
    {kResponses, "tool_choice.tools[].name", Use::kComputed, "the name of one of the tools"},
    {kChat | kResponses, "parallel_tool_calls", Use::kComputed,
     "`false`: an answer has one call at most; default true"},
    {kText, "tools", Use::kRefused, "for chats only", kNothing},
    {kBoth, "functions", Use::kRefused, "`tools` has them", kNothing},
    {kText, "tool_choice", Use::kRefused, "for chats only", R"(["none", "auto"])"},
    {kBoth, "function_call", Use::kRefused, "`tool_choice` says it", R"(["none", "auto"])"},
    {kText, "parallel_tool_calls", Use::kNoEffect, "for chats only"},
    {kChat, "reasoning_effort", Use::kComputed,
     "`none` to `xhigh`, for templates that read it; where they read `enable_thinking`, `none` makes that "
     "false"},
    {kText, "reasoning_effort", Use::kRefused, "for chats only"},
    {kChat, "thinking_token_budget", Use::kComputed,
     "a whole number: a thought that has not ended after so many tokens of the answer is ended; -1: no limit "
     "(vLLM)"},
    {kChat, "thinking_budget_tokens", Use::kComputed, "the same (llama.cpp)"},
    {kOllama, "think", Use::kComputed,
     "`true` or `false`, for templates that read `enable_thinking`, or `low`, `medium` or `high`"},
    {kBoth, "verbosity", Use::kRefused, "for models that know it", R"(["medium"])"},
    {kBoth, "modalities", Use::kRefused, "text only", R"([["text"]])"},
    {kBoth, "audio", Use::kRefused, "text only", kNothing},
    {kBoth, "web_search_options", Use::kRefused, ""},
    {kBoth, "chat_template", Use::kRefused, "the model's file has one", kNothing},
    {kChat, "chat_template_kwargs", Use::kComputed, "an object: variables that the model's template reads"},
    {kText, "chat_template_kwargs", Use::kRefused, "for chats only", kNothing},
    {kBoth, "documents", Use::kRefused, "", kNothing},
    {kBoth, "add_generation_prompt", Use::kRefused, "an answer follows", "[true]"},
    {kBoth, "continue_final_message", Use::kRefused, "an answer follows", kNothing},
    {kBoth, "add_special_tokens", Use::kRefused, "as the model's file says"},

    // For the books of others, and for speed.
    {kOpenAi | kEmbeddings, "user", Use::kNoEffect, "kept nowhere"},
    {kOpenAi, "metadata", Use::kNoEffect, "kept nowhere; responses give it back"},
    {kBoth, "store", Use::kNoEffect, "nothing is kept"},
    {kOpenAi, "service_tier", Use::kNoEffect, "there is one"},
    {kOpenAi, "safety_identifier", Use::kNoEffect, "kept nowhere"},
    {kOpenAi, "prompt_cache_key", Use::kNoEffect, "prompts that begin alike share their cache anyway"},
    {kOpenAi, "prompt_cache_retention", Use::kNoEffect, "the cache keeps what fits"},
    {kBoth, "cache_prompt", Use::kNoEffect, "answers do not depend on the cache"},
    {kBoth, "prediction", Use::kNoEffect, "it would change the speed, and no answer"},
    {kBoth, "request_id", Use::kNoEffect, "kept nowhere"},
    {kOllamaModel, "keep_alive", Use::kNoEffect, "the model stays"},

    // Ollama's options.
    {kOllama, "options", Use::kComputed, "an object"},
    {kOllamaVectors, "options", Use::kNoEffect, "an object: nothing of it changes embeddings"},
    {kOllama, "options.num_predict", Use::kComputed,
     "1 or more; -1, the default, and -2: what is left of the context"},
    {kOllama, "options.temperature", Use::kComputed, "0 to 100; default 0.8"},
    {kOllama, "options.top_k", Use::kComputed, "0: all; default 40"},
    {kOllama, "options.top_p", Use::kComputed, "0 to 1; default 0.9"},
    {kOllama, "options.min_p", Use::kComputed, "0 to 1; default 0"},
    {kOllama, "options.seed", Use::kComputed, "a whole number; default: by chance"},
    {kOllama, "options.stop", Use::kComputed, "a text or 1 to 16 texts"},
    {kOllama, "options.presence_penalty", Use::kComputed, "-2 to 2, for tokens of the answer"},
    {kOllama, "options.frequency_penalty", Use::kComputed, "-2 to 2, for tokens of the answer"},
    {kOllama, "options.repeat_penalty", Use::kComputed,
     "0.01 to 100, for tokens of prompt and answer; default 1"},
    {kOllama, "options.repeat_last_n", Use::kRefused, "the penalty covers prompt and answer", "[-1]"},
    {kOllama, "options.typical_p", Use::kRefused, "", "[1]"},
    {kOllama, "options.mirostat", Use::kRefused, "", kNothing},
    {kOllama, "options.mirostat_eta", Use::kNoEffect, "of `mirostat`"},
    {kOllama, "options.mirostat_tau", Use::kNoEffect, "of `mirostat`"},
    {kOllama, "options.tfs_z", Use::kRefused, "", "[1]"},
    {kOllama, "options.penalize_newline", Use::kRefused, "it is a token as others", "[true]"},
    {kOllama, "options.num_ctx", Use::kNoEffect,
     "`throng serve --context` says it; what does not fit is refused"},
    {kOllama, "options.num_keep", Use::kNoEffect, "no prompt is cut"},
    {kOllama, "options.num_batch", Use::kNoEffect, "a flag of the server"},
    {kOllama, "options.num_thread", Use::kNoEffect, "a flag of the server"},
    {kOllama, "options.num_gpu", Use::kNoEffect, "a flag of the server"},
    {kOllama, "options.main_gpu", Use::kNoEffect, "a flag of the server"},
    {kOllama, "options.use_mmap", Use::kNoEffect, "a flag of the server"},
    {kOllama, "options.use_mlock", Use::kNoEffect, "the model stays"},
    {kOllama, "options.low_vram", Use::kNoEffect, "a flag of the server"},
    {kOllama, "options.f16_kv", Use::kNoEffect, "`--kv` says it"},
    {kOllama, "options.numa", Use::kNoEffect, "the system's matter"},
};

// "`user` (kept nowhere), `store`", of the endpoint's fields of one use.
std::string Listed(Endpoint endpoint, Use use) {
  std::string text;
  for (const Field& field : kFields) {
    if ((field.endpoints & endpoint) == 0 || field.use != use) continue;
    if (!text.empty()) text += ", ";
    text += fmt::format("`{}`", field.name);
    if (*field.note != '\0') text += fmt::format(" ({})", field.note);
  }
  return text;
}

}  // namespace

const Field* FindField(Endpoint endpoint, std::string_view name) {
  const auto found = std::ranges::find_if(
      kFields, [&](const Field& field) { return (field.endpoints & endpoint) != 0 && field.name == name; });
  return found == std::end(kFields) ? nullptr : found;
}

std::string FieldsAsMarkdown(Endpoint endpoint) {
  std::string text;
  for (const Field& field : kFields) {
    if ((field.endpoints & endpoint) == 0 || field.use != Use::kComputed) continue;
    if (text.empty()) text = "| computed | |\n|---|---|\n";
    text += fmt::format("| `{}` | {} |\n", field.name, field.note);
  }
  const std::string without = Listed(endpoint, Use::kNoEffect);
  if (!without.empty()) text += fmt::format("\nWithout effect: {}.\n", without);
  const std::string refused = Listed(endpoint, Use::kRefused);
  if (!refused.empty()) text += fmt::format("\nRefused: {}.\n", refused);
  return text;
}

}  // namespace throng::serve
