// Parses and checks the body of a request for a response.
#pragma once

#include <string>
#include <string_view>

#include "engine/local_model.h"
#include "serve/fields/json_fields.h"
#include "serve/responses/response_store.h"
#include "serve/tools/tool_request.h"

namespace throng::serve {

struct ResponseRequest {
  Json chat;                 // messages of the response before it, and what the user said
  std::string instructions;  // a system message before them, for this response alone
  ToolRequest tools;
  ThoughtRequest thoughts;
  engine::TextRequest text;  // without a prompt
  bool stream = false;
  bool store = true;
  Json settings;  // the fields that the response gives back, with their defaults
};

// Throws RequestError with one sentence that names the field.
ResponseRequest ParseResponseRequest(std::string_view body, ResponseStore& store);

}  // namespace throng::serve
