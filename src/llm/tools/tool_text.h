// Tools for models whose templates know none: a system text of ours, and calls and results as plain text.
#pragma once

#include <nlohmann/json.hpp>

namespace throng::llm {

// The chat as such a template takes it. tools: definitions as in OpenAI's API; none, if the chat only has
// calls. The model is told to answer in OwnFormat (answer_format.h).
nlohmann::ordered_json WithToolText(const nlohmann::ordered_json& messages,
                                    const nlohmann::ordered_json& tools);

}  // namespace throng::llm
