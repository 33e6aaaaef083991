// Parses and checks the bodies of completion requests.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "engine/local_model.h"
#include "serve/fields/json_fields.h"
#include "serve/tools/tool_request.h"

namespace throng::serve {

struct CompletionRequest {
  std::vector<engine::Prompt> prompts;  // one or more
  engine::TextRequest settings;         // of all of them; its prompt is empty
  std::string form_field;               // that says what form answers have; empty: none does
  ToolRequest tools;                    // of a chat, as the next
  ThoughtRequest thoughts;
  int priority = 0;                 // smaller is served first
  int num_choices = 1;              // of each prompt
  int num_candidates = 1;           // of each prompt, from which the choices are taken
  std::optional<int> top_logprobs;  // log-probabilities come with the choices, with so many others each
  bool echo = false;                // choices begin with the prompt
  bool stream = false;
  bool stream_usage = false;  // a last chunk with the token counts
};

inline constexpr const char* kAnyObject = R"({"type":"object"})";  // the schema of what is asked for as JSON

// Throw RequestError with one sentence that names the field.
CompletionRequest ParseChatRequest(std::string_view body);
CompletionRequest ParseTextRequest(std::string_view body);

// What other endpoints' requests have in common with these.
// Temperature and top_p, whose defaults are those given, and the seed, which is drawn by chance if absent.
void ParseDrawing(const JsonFields& fields, double temperature, double top_p, llm::Sampling& sampling);
// One or more texts or lists of token ids.
std::vector<engine::Prompt> ParsePrompts(const JsonFields& fields, const char* name, size_t most);
// A text, or a list of texts.
std::vector<std::string> ParseStop(const JsonFields& fields);

}  // namespace throng::serve
