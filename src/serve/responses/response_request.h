// Parses and checks the body of a request for a response.
#pragma once

#include <string_view>
#include <vector>

#include "engine/local_model.h"
#include "serve/fields/json_fields.h"
#include "serve/responses/response_store.h"

namespace throng::serve {

struct ResponseRequest {
  std::vector<model::ChatMessage> chat;  // of the response before it, and what the user said
  engine::TextRequest text;              // prompt: the instructions, then `chat`
  bool stream = false;
  bool store = true;
  Json settings;  // the fields that the response gives back, with their defaults
};

// Throws RequestError with one sentence that names the field.
ResponseRequest ParseResponseRequest(std::string_view body, ResponseStore& store);

}  // namespace throng::serve
