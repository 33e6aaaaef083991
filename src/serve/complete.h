// What both completion endpoints do with a request once its prompt is a list of tokens.
#pragma once

#include <vector>

#include "serve/completion_request.h"
#include "serve/context.h"
#include "serve/exchange.h"

namespace throng::serve {

// Throws kUnavailable if the server has no model.
engine::LocalLlm& ModelOf(Context& context);

HttpReply Complete(Context& context, CompletionRequest request, std::vector<int32_t> prompt, bool chat);

}  // namespace throng::serve
