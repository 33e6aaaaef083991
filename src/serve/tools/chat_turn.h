// A chat as the server's model reads it, and the form of its answer.
#pragma once

#include <memory>
#include <vector>

#include "engine/local_model.h"
#include "serve/tools/tool_request.h"

namespace throng::serve {

// Sets what the chat asks of an answer: prompt, form and thought_tokens. Tools are the template's affair if
// it knows them, else llm/tools/tool_text.h describes them. Throws RequestError for what this model cannot
// do, and what ChatTemplate::Format throws.
void SetTurn(const engine::LocalModel& model, model::ChatInput chat, const ToolRequest& tools,
             const ThoughtRequest& thoughts, engine::TextRequest& request);

}  // namespace throng::serve
